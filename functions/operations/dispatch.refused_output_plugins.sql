-- From 15.19, 16.15, 17.11 and 18.5 on PostgreSQL loads no output plugin that a setting does not
-- name, and at first it names PostgreSQL's own alone. Older servers know no such setting. And none
-- loads any while its wal_level is less than logical, as it is by default.
create or replace function dispatch.refused_output_plugins()
returns text[]
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    with used as (
        select 'wal2json' as plugin
        -- pg_publication_tables would go through all tables.
        from pg_catalog.pg_publication as p
        where
            p.pubname = 'supabase_realtime'
            and (
                p.puballtables
                or exists (
                    select from pg_catalog.pg_publication_rel as r
                    -- (Not to_regclass, which fails for who may not use the schema.)
                    inner join pg_catalog.pg_class as c on c.oid = r.prrelid
                    where
                        r.prpubid = p.oid and c.relname = 'session_requests'
                        and c.relnamespace = to_regnamespace('public')
                )
                or exists (
                    select from pg_catalog.pg_publication_namespace as n
                    where n.pnpubid = p.oid and n.pnnspid = to_regnamespace('public')
                )
            )
        union all
        select 'pgoutput'
        from pg_catalog.pg_class as c
        where
            c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime')
    ),

    lists as (
        select s.setting as names
        from pg_catalog.pg_settings as s
        where s.name = 'output_plugin_libraries'
        union all
        -- Realtime's own role may have another.
        select substr(c.setting, strpos(c.setting, '=') + 1)
        from pg_catalog.pg_db_role_setting as o
        cross join unnest(o.setconfig) as c (setting)
        where c.setting like 'output\_plugin\_libraries=%'
    ),

    named as (
        select btrim(n.name[1], '"') as plugin
        from lists as l
        -- What stands in quotes is one name, commas included.
        cross join regexp_matches(l.names, '("(?:[^"]|"")*"|[^",\s]+)', 'g') as n (name)
    )

    select
        case
            when count(*) = 0 or pg_has_role('pg_read_all_settings', 'usage')
                then
                    coalesce(
                        array_agg(u.plugin) filter (
                            where current_setting('wal_level') <> 'logical'
                            or (
                                exists (select from lists)
                                and u.plugin not in (select n.plugin from named as n)
                            )
                        ),
                        '{}'
                    )
        end
    from used as u
$$;

comment on function dispatch.refused_output_plugins() is
'The output plugins by which Supabase Realtime reads what it sends (wal2json for table changes, '
'pgoutput for Broadcasts), as far as this server refuses them. Null: who asks may not see.';
revoke all on function dispatch.refused_output_plugins()
from public, anon, authenticated, service_role;
