comment on column public.session_requests.preferred_mechanic_id is
'The favourite who is told first and alone; null: broadcast.';
comment on column public.session_requests.priority_window_minutes is
'Length of the priority window in minutes, 1 to 60.';
comment on column public.session_requests.priority_notified_at is
'When the priority window began.';

-- Clients may read the feature's columns where they may read the row; a table that grants them
-- already (some marketplaces grant whole tables) stays as it is.
grant select (preferred_mechanic_id, priority_window_minutes, priority_notified_at)
on public.session_requests to authenticated;
