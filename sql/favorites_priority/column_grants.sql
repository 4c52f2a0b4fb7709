-- On a marketplace of ours clients may read the feature's columns where they may read the row.
grant select (preferred_mechanic_id, priority_window_minutes, priority_notified_at)
on public.session_requests to authenticated;
