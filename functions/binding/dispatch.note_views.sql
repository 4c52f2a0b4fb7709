-- Whatever makes a view of dispatch comments on it too, which takes the note of the one before off:
-- what bears none was made just now.
create or replace function dispatch.note_views()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_view record;
begin
    for v_view in
        select c.oid, obj_description(c.oid, 'pg_class') as description
        from pg_catalog.pg_class as c
        where c.relnamespace = 'dispatch'::regnamespace and c.relkind = 'v'
    loop
        if v_view.description !~ '\{"body": ' then
            perform dispatch.make_anew(
                format(
                    'comment on view %s is %L',
                    v_view.oid::regclass,
                    format(
                        '%s {"body": "%s", "server": %s}',
                        v_view.description,
                        dispatch.view_fingerprint(v_view.oid),
                        current_setting('server_version_num')::integer / 10000
                    )
                )
            );
        end if;
    end loop;
end;
$$;

comment on function dispatch.note_views() is
'Notes in the comment of each view that was made just now what it is, for verify.sql.';
revoke all on function dispatch.note_views()
from public, anon, authenticated, service_role;
