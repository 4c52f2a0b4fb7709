create or replace function dispatch.choose_recipients(
    p_request_id uuid,
    p_limit integer default null,
    p_now timestamptz default now()
)
returns table (mechanic_id uuid, score integer, reasons text[])
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request public.session_requests;
begin
    select * into v_request from public.session_requests as r where r.id = p_request_id;
    -- refusal() leaves the preferred mechanic alone in the window, and nobody once it is taken.
    return query
    select m.id, s.score, s.reasons
    from public.mechanics as m
    cross join dispatch.score_match(m, v_request, p_now) as s
    where m.status = 'approved' and dispatch.refusal(v_request, m.id, p_now) is null
    order by s.score desc, m.id
    limit p_limit;
end;
$$;

comment on function dispatch.choose_recipients(uuid, integer, timestamptz) is
'The mechanics who may take a request at p_now, best first: the preferred one alone in the '
'window, else every approved one who did not decline and is not the customer.';
revoke all on function dispatch.choose_recipients(uuid, integer, timestamptz)
from public, anon, authenticated, service_role;
