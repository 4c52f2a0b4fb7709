create or replace function dispatch.shown_request(p_request public.session_requests)
returns public.session_requests
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The customer and the mechanic who won see the whole request, but how it was paid is between
    -- the customer and Stripe. On a marketplace that was there first the engine keeps that itself.
    if dispatch.governs_all() then
        p_request.metadata := case jsonb_typeof(p_request.metadata)
            when 'object'
                then p_request.metadata - dispatch.payment_keys()
            else '{}'::jsonb
        end;
    end if;
    return p_request;
end;
$$;

comment on function dispatch.shown_request(public.session_requests) is
'A request as its customer and its mechanic may see it: without the payment.';
revoke all on function dispatch.shown_request(public.session_requests)
from public, anon, authenticated, service_role;
