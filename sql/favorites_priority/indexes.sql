-- Built while others write: see sql/marketplace/indexes.sql.

create index concurrently if not exists session_requests_preferred_mechanic_idx
on public.session_requests (preferred_mechanic_id) where preferred_mechanic_id is not null;
