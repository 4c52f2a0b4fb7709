create or replace function public.claim_pushes(max_rows integer default 100)
returns table (
    push_id bigint, endpoint text, p256dh text, auth text, payload text, ttl integer, urgency text,
    topic text
)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return query select * from dispatch.take_pushes(max_rows);
end;
$$;

comment on function public.claim_pushes(integer) is
'For a sender of Web Push: up to max_rows that are due, with what to send (ttl in seconds), for '
'30 seconds; by then finish_pushes() says what came of them, or another sender gets them. What '
'does not hold any more is not among them.';
revoke all on function public.claim_pushes(integer)
from public, anon, authenticated, service_role;
grant execute on function public.claim_pushes(integer) to service_role;
