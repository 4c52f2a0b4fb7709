-- Drops the reference marketplace: four tables and two enums. Not while the engine is on it, nor
-- with rows in it (the plans that up.sql put there are none) unless that is confirmed:
--   psql "$DATABASE_URL" -X -c "set favorites_priority.confirm_down = yes" \
--       -f sql/marketplace/down.sql
\set ON_ERROR_STOP on
\ir ../engine/alone_begin.sql
begin;
\ir ../engine/may_look.sql
\ir refuse_others.sql
do $$
declare
    v_table text;
    v_count bigint;
    v_found text;
begin
    if to_regclass('dispatch.requests') is not null then
        raise object_not_in_prerequisite_state using
            message = 'the engine is installed on it, and nothing was changed',
            hint = 'Run sql/engine/down.sql first.';
    elsif to_regclass('public.session_requests') is null then
        raise object_not_in_prerequisite_state using
            message = 'the reference marketplace is not installed';
    end if;

    -- Nobody books or favours in between.
    set local lock_timeout = '20s';
    lock table public.session_requests, public.customer_favorites, public.service_plans,
    public.mechanics in access exclusive mode;
    foreach v_table in array
        array['mechanics', 'customer_favorites', 'session_requests', 'service_plans']
    loop
        execute pg_catalog.format(
            'select count(*) from public.%I as t where to_jsonb(t) ->> ''code'' is null '
            'or to_jsonb(t) ->> ''code'' not in '
            '(''free-diagnostic'', ''quick-chat'', ''expert-video'')',
            v_table
        ) into v_count;
        if v_count > 0 then
            v_found := pg_catalog.concat_ws(
                ', ', v_found, pg_catalog.format('%s %s', v_count, v_table)
            );
        end if;
    end loop;
    if
        v_found is not null
        and current_setting('favorites_priority.confirm_down', true) is distinct from 'yes'
    then
        raise object_not_in_prerequisite_state using
            message = pg_catalog.format('its tables hold %s; nothing was changed', v_found),
            hint = 'Save them first if they are needed. Then run it again with: '
            'psql … -c "set favorites_priority.confirm_down = yes" -f sql/marketplace/down.sql';
    end if;
end;
$$;
-- What others built on them stays, and is told.
drop table public.session_requests, public.customer_favorites, public.service_plans,
public.mechanics;
do $$
declare
    v_type text;
begin
    foreach v_type in array array['session_request_status', 'session_type'] loop
        if
            pg_catalog.obj_description(to_regtype('public.' || v_type), 'pg_type')
            like 'Reference marketplace: %'
        then
            execute pg_catalog.format('drop type public.%I', v_type);
        end if;
    end loop;
end;
$$;
notify pgrst, 'reload schema';
commit;
\set word 'The reference marketplace is taken off.'
\ir ../engine/alone_end.sql
