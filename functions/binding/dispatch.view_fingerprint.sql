-- As PostgreSQL writes the view here and now, but for what is not written alike by each minor
-- version (parentheses), after a restore (casts: of a list, or of each in it) and for each session
-- (days). What differs between major versions is for who compares to know.
create or replace function dispatch.view_fingerprint(p_view oid)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
as $$
begin
    return left(
        md5(
            regexp_replace(
                regexp_replace(
                    pg_get_viewdef(p_view), '''[^'']*''::(timestamp|interval|date)\M', '?', 'g'
                ),
                '::(\w+\.|"[^"]+"\.)?(\w+|"[^"]+")( varying| precision)?(\(\d[\d,]*\))?'
                '( with(out)? time zone)?(\[\])?|[\s()]',
                '', 'g'
            )
        ),
        8
    );
end;
$$;

comment on function dispatch.view_fingerprint(oid) is
'A hash of what a view is, so that verify.sql sees it if another stands there.';
revoke all on function dispatch.view_fingerprint(oid)
from public, anon, authenticated, service_role;
