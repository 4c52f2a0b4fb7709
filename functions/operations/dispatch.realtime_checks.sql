-- Part of dispatch.health(). Realtime makes its table's partitions some days ahead; without
-- today's, realtime.send() warns, and loses every Broadcast. And it reads both from the log of
-- changes, by plugins that a server may refuse.
create or replace function dispatch.realtime_checks(p_now timestamptz)
returns table (check_name text, ok boolean, detail text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind "char";
    v_refused text[];
    v_today constant timestamp := p_now at time zone 'UTC';
begin
    select c.relkind into v_kind from pg_catalog.pg_class as c
    where c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime');

    check_name := 'broadcast_partition';
    ok := v_kind is distinct from 'p' or exists (
        select from pg_catalog.pg_inherits as i
        inner join pg_catalog.pg_class as c on c.oid = i.inhrelid
        inner join pg_catalog.pg_class as p on p.oid = i.inhparent
        cross join pg_get_expr(c.relpartbound, c.oid) as b (bound)
        cross join regexp_match(
            b.bound, 'FROM \(''?([^'')]*)''?\) TO \(''?([^'')]*)''?\)'
        ) as r (range)
        where
            p.relname = 'messages' and p.relnamespace = to_regnamespace('realtime')
            and (
                b.bound = 'DEFAULT'
                or (
                    coalesce(nullif(r.range[1], 'MINVALUE'), '-infinity')::timestamp <= v_today
                    and coalesce(nullif(r.range[2], 'MAXVALUE'), 'infinity')::timestamp > v_today
                )
            )
    );
    detail := case
        when v_kind is null then 'no realtime.messages in this database'
        when v_kind <> 'p' then 'realtime.messages has no partitions'
        when ok then 'realtime.messages has one for ' || v_today::date
        else 'realtime.messages has none for ' || v_today::date || ': every Broadcast is lost'
    end;
    return next;

    v_refused := dispatch.refused_output_plugins();
    check_name := 'output_plugins_allowed';
    ok := coalesce(v_refused = '{}', false);
    detail := case
        when v_refused is null
            then 'settings are not shown to ' || current_user || ': grant it pg_read_all_settings'
        when ok then 'none that Realtime reads by is refused'
        else
            'Realtime can read nothing by ' || array_to_string(v_refused, ' and ')
            || ': not named in output_plugin_libraries'
    end;
    return next;
end;
$$;

comment on function dispatch.realtime_checks(timestamptz) is
'Part of dispatch.health(): whether a Broadcast can be stored, and what Realtime sends be read.';
revoke all on function dispatch.realtime_checks(timestamptz)
from public, anon, authenticated, service_role;
