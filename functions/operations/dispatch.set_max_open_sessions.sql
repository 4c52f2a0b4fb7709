-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.set_max_open_sessions(p_count integer)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_set boolean;
begin
    if p_count < 1 then
        raise invalid_parameter_value using
            message = format('no limit of open sessions: %s', p_count),
            hint = 'Pass 1 or more, or null for no limit.';
    end if;
    perform pg_advisory_xact_lock(1178687058, -2);
    if p_count is distinct from dispatch.max_open_sessions() then
        foreach v_is_set in array '{false,true}'::boolean[] loop
            if v_is_set then
                perform dispatch.make_setting(
                    'dispatch.max_open_sessions()', coalesce(p_count::text, 'null')
                );
            else
                -- Whose turn came until now was so by the limit that there was.
                while dispatch.sweep(10000) > 0 loop
                    null;
                end loop;
            end if;
            perform dispatch.follow_sessions();
        end loop;
    end if;
    return p_count;
end;
$$;

comment on function dispatch.set_max_open_sessions(integer) is
'From now on a mechanic with so many accepted and not completed requests is not asked and cannot '
'accept; null: no limit. What is accepted stays so. Only the owner may.';
revoke all on function dispatch.set_max_open_sessions(integer)
from public, anon, authenticated, service_role;
