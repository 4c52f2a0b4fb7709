-- Nullable and without a default: no row is read or written, for the foreign key neither.
alter table public.session_requests
add column if not exists preferred_mechanic_id uuid
constraint session_requests_preferred_mechanic_id_fkey
references public.mechanics (id) on delete set null,
add column if not exists priority_window_minutes integer,
add column if not exists priority_notified_at timestamptz;
