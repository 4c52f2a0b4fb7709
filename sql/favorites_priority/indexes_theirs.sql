-- Without the status: an index that names it would end their HOT updates of that column. (The sweep
-- has its index on dispatch.windows.)
create index concurrently if not exists session_requests_priority_notified_idx
on public.session_requests (priority_notified_at) where priority_notified_at is not null;
