-- Any, until dispatch.expect_stripe replaces it, which then stays as it was set; any
-- again if what stands there is no such setting.
do $setting$
begin
    if not exists (
        select from pg_catalog.pg_proc as p
        where
            p.oid = to_regprocedure('dispatch.expected_stripe_event()')
            and p.prosrc ~ '^\s*begin\s+return ''[{].*[}]''::jsonb;\s+end;\s*$'
    ) then
        create or replace function dispatch.expected_stripe_event()
        returns jsonb
        language plpgsql
        immutable
        security invoker
        set search_path = pg_catalog, pg_temp
        as $$
        begin
            return '{}'::jsonb;
        end;
        $$;
    end if;
    alter function dispatch.expected_stripe_event()
    immutable called on null input security invoker set search_path = pg_catalog, pg_temp;
end;
$setting$;

comment on function dispatch.expected_stripe_event() is
'What an event of the configured mode and account has in it; {}: any will do. Set by '
'dispatch.expect_stripe(boolean, text).';
revoke all on function dispatch.expected_stripe_event()
from public, anon, authenticated, service_role;
