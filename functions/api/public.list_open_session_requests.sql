create or replace function public.list_open_session_requests()
returns table (
    request_id uuid, session_type text, plan_code text, is_priority boolean,
    window_ends_at timestamptz, created_at timestamptz, match_score integer, match_reasons text[],
    plan_title text, price_cents integer, currency text, requested_brand text, customer_city text,
    is_urgent boolean, is_returning_customer boolean
)
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select
        l.request_id, l.session_type, l.plan_code, l.is_priority, l.window_ends_at, l.created_at,
        l.match_score, l.match_reasons, l.plan_title, l.price_cents, l.currency, l.requested_brand,
        l.customer_city, l.is_urgent, l.is_returning_customer
    from dispatch.list_open_requests() as l;
$$;

comment on function public.list_open_session_requests() is
'The requests the calling mechanic may accept now, those reserved for them (is_priority) first. '
'The price is the plan''s, in the currency''s smallest unit; is_returning_customer: this mechanic '
'has had them before. What the marketplace does not keep is null. '
'Raises PT401 not_signed_in, PT403 not_a_mechanic.';
revoke all on function public.list_open_session_requests()
from public, anon, authenticated, service_role;
grant execute on function public.list_open_session_requests() to authenticated;
