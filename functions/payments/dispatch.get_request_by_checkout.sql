-- As JSON: PostgREST makes a row of nulls of a row that is null.
create or replace function dispatch.get_request_by_checkout(p_checkout_session_id text)
returns jsonb
language plpgsql
stable
-- definer: clients cannot read payments; the caller sees their own request only
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_customer_id uuid := dispatch.require_user();
    v_request public.session_requests;
begin
    select r.* into v_request
    from public.session_requests as r
    where
        r.id = (
            select p.request_id from dispatch.payments as p
            where
                p.checkout_session_id = p_checkout_session_id
                and p.customer_id = v_customer_id
        );
    return case
        when v_request.id is not null then to_jsonb(dispatch.shown_request(v_request))
    end;
end;
$$;

comment on function dispatch.get_request_by_checkout(text) is
'Behind public.get_session_request_by_checkout.';
revoke all on function dispatch.get_request_by_checkout(text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.get_request_by_checkout(text) to authenticated;
