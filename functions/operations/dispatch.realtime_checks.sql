-- Part of dispatch.health(). Realtime makes its table's partitions some days ahead; without
-- today's, realtime.send() warns, and loses every Broadcast; so it does where whoever sends may not
-- write there. And it reads both from the log of changes, by plugins that a server may refuse.
create or replace function dispatch.realtime_checks(p_now timestamptz)
returns table (check_name text, ok boolean, detail text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind "char";
    v_lack text;
    v_is_closed boolean;
    v_refused text[];
    v_today constant timestamp := p_now at time zone 'UTC';
begin
    select
        c.relkind,
        case
            -- One whose table has no partitions may be too old to have it.
            when f.oid is null
                then case c.relkind when 'p' then 'realtime.send(jsonb, text, text, boolean)' end
            when not has_schema_privilege(c.relnamespace, 'usage') then 'usage on schema realtime'
            when not has_function_privilege(f.oid, 'execute') then 'execute on realtime.send'
            -- It has its caller's rights, if the platform has not said otherwise.
            when f.prosecdef then null
            when not has_table_privilege(c.oid, 'insert') then 'insert on realtime.messages'
            when
                row_security_active(c.oid)
                and not exists (
                    select from pg_catalog.pg_policy as y
                    cross join unnest(y.polroles) as g (oid)
                    where
                        y.polrelid = c.oid and y.polpermissive and y.polcmd in ('a', '*')
                        and (
                            g.oid = to_regrole(quote_ident(current_user))
                            or (
                                pg_get_expr(y.polwithcheck, y.polrelid) = 'true'
                                and (g.oid = 0 or pg_has_role(g.oid, 'usage'))
                            )
                        )
                ) then 'bypassrls, or a policy to insert into realtime.messages'
        end,
        -- The policies say which topics (verify.sql looks at these); this lets anybody join one.
        not (
            has_schema_privilege('authenticated', c.relnamespace, 'usage')
            and has_table_privilege('authenticated', c.oid, 'select')
        )
    into v_kind, v_lack, v_is_closed
    from pg_catalog.pg_class as c
    left join pg_catalog.pg_proc as f
        on
            f.pronamespace = c.relnamespace and f.proname = 'send'
            and oidvectortypes(f.proargtypes) = 'jsonb, text, text, boolean'
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
        when v_lack is not null
            then current_user || ' lacks ' || v_lack || ': every Broadcast is lost'
        when v_is_closed
            then
                'authenticated lacks usage on schema realtime, or select on realtime.messages: '
                'nobody joins a private topic'
        when v_kind is null then 'no realtime.messages in this database'
        when v_kind <> 'p' then 'realtime.messages has no partitions'
        when ok then 'realtime.messages has one for ' || v_today::date
        else 'realtime.messages has none for ' || v_today::date || ': every Broadcast is lost'
    end;
    ok := ok and v_lack is null and v_is_closed is not true;
    return next;

    v_refused := dispatch.refused_output_plugins();
    check_name := 'output_plugins_allowed';
    ok := coalesce(v_refused = '{}', false);
    detail := case
        when v_refused is null
            then 'settings are not shown to ' || current_user || ': grant it pg_read_all_settings'
        when ok then 'none that Realtime reads by is refused'
        else
            'Realtime can read nothing by ' || array_to_string(v_refused, ' and ') || ': '
            || case current_setting('wal_level')
                when 'logical' then 'not named in output_plugin_libraries'
                else 'wal_level is ' || current_setting('wal_level') || ', and must be logical'
            end
    end;
    return next;
end;
$$;

comment on function dispatch.realtime_checks(timestamptz) is
'Part of dispatch.health(): whether a Broadcast can be stored, and what Realtime sends be read.';
revoke all on function dispatch.realtime_checks(timestamptz)
from public, anon, authenticated, service_role;
