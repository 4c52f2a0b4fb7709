-- Adding nullable columns without a default rewrites nothing.
alter table public.session_requests
add column if not exists preferred_mechanic_id uuid
constraint session_requests_preferred_mechanic_id_fkey
references public.mechanics (id) on delete set null,
add column if not exists priority_window_minutes integer,
add column if not exists priority_notified_at timestamptz;

comment on column public.session_requests.preferred_mechanic_id is
'The favourite who is told first and alone; null: broadcast.';
comment on column public.session_requests.priority_window_minutes is
'Length of the priority window in minutes, 1 to 60.';
comment on column public.session_requests.priority_notified_at is
'When the priority window began.';

create index if not exists session_requests_preferred_mechanic_idx
on public.session_requests (preferred_mechanic_id) where preferred_mechanic_id is not null;

create index if not exists session_requests_priority_notified_idx
on public.session_requests (priority_notified_at)
where priority_notified_at is not null and status = 'pending';

-- The sweep's: the next window to end comes first, and a broadcast takes the row out.
create index if not exists session_requests_priority_deadline_idx
on public.session_requests ((
    (
        (priority_notified_at at time zone 'UTC')
        + make_interval(mins => priority_window_minutes)
    ) at time zone 'UTC'
))
where status = 'pending' and notification_sent_at is null;

-- Clients may read the feature's columns where they may read the row; a table that grants them
-- already (some marketplaces grant whole tables) stays as it is.
grant select (preferred_mechanic_id, priority_window_minutes, priority_notified_at)
on public.session_requests to authenticated;
