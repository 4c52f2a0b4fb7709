-- For the role in this database, else for the role, for the database, for all, for the server. What
-- this session set for itself says nothing of another's.
create or replace function dispatch.job_setting(p_role text, p_name text)
returns text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mine constant text := current_setting(p_name);
    v_theirs text;
begin
    select coalesce(
        (
            select substr(c.setting, length(p_name) + 2)
            from pg_catalog.pg_db_role_setting as s
            cross join unnest(s.setconfig) as c (setting)
            where
                s.setrole in (0, to_regrole(quote_ident(p_role))::oid)
                and s.setdatabase in (
                    0,
                    (select d.oid from pg_catalog.pg_database as d
                    where d.datname = current_database())
                )
                and split_part(c.setting, '=', 1) = p_name
            order by s.setrole = 0, s.setdatabase = 0
            limit 1
        ),
        (
            select s.setting from pg_catalog.pg_settings as s
            where
                s.name = p_name and s.source in ('default', 'command line', 'configuration file')
        ),
        (select s.boot_val from pg_catalog.pg_settings as s where s.name = p_name)
    ) into v_theirs;
    -- It stands there as it was written ('2min', 0x10, 9e4), and the server alone reads all of that.
    perform set_config(p_name, v_theirs, true);
    select s.setting into v_theirs from pg_catalog.pg_settings as s where s.name = p_name;
    perform set_config(p_name, v_mine, true);
    return v_theirs;
end;
$$;

comment on function dispatch.job_setting(text, text) is
'What this setting is, in its base unit, in a session that this role begins in this database.';
revoke all on function dispatch.job_setting(text, text)
from public, anon, authenticated, service_role;
