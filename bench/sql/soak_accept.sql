-- A mechanic takes what is open for longest, if anything is: of two connections, each one half.
select
    count(*) as found,
    coalesce(min(l.request_id::text), '') as request
from (
    select o.request_id from public.list_open_session_requests() as o
    where hashtext(o.request_id::text) & 1 = :client_id
    order by o.created_at limit 1
) as l \gset
\if :found
select r.id from public.accept_session_request((:request)::uuid) as r;
\endif
