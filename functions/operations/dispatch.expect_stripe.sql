create or replace function dispatch.expect_stripe(livemode boolean, account text default null)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_expected constant jsonb := jsonb_strip_nulls(
        jsonb_build_object('livemode', livemode, 'account', account)
    );
begin
    if account !~ '^acct_[A-Za-z0-9]+$' then
        raise invalid_parameter_value using
            message = format('no account of Stripe''s: %s', account),
            hint = 'Pass its id, acct_..., or null for any.';
    end if;
    perform dispatch.make_setting('dispatch.expected_stripe_event()', format('%L::jsonb', v_expected));
    return v_expected;
end;
$$;

comment on function dispatch.expect_stripe(boolean, text) is
'From now on only Stripe events of this mode and account are acted on; null: of any. One that '
'names no account is the account''s own: Stripe names it on a Connect endpoint alone. All others '
'are recorded as ignored. Only the owner may.';
revoke all on function dispatch.expect_stripe(boolean, text)
from public, anon, authenticated, service_role;
