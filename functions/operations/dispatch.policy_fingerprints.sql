create or replace function dispatch.policy_fingerprints()
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- Compared as text, whatever a session or the database has set.
set quote_all_identifiers = off
as $$
begin
    return (
        select
            coalesce(
                jsonb_object_agg(
                    p.tablename || '.' || p.policyname,
                    left(
                        md5(
                            jsonb_build_array(
                                p.permissive, p.roles, p.cmd, p.qual, p.with_check
                            )::text
                        ),
                        8
                    )
                ),
                '{}'
            )
        from pg_catalog.pg_policies as p
        where
            p.schemaname = 'public'
            and p.tablename in (
                'mechanics', 'customer_favorites', 'service_plans', 'session_requests'
            )
    );
end;
$$;

comment on function dispatch.policy_fingerprints() is
'A hash of each policy on the marketplace''s tables, so that verify.sql sees what was changed.';
revoke all on function dispatch.policy_fingerprints()
from public, anon, authenticated, service_role;
