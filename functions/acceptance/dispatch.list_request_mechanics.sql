create or replace function dispatch.list_request_mechanics(p_request_id uuid)
returns table (
    event_id bigint, mechanic_id uuid, starts_at timestamptz, ends_at timestamptz
)
language plpgsql
stable
-- definer: clients cannot read the event log; the caller is checked by require_own_request
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id;
    perform dispatch.require_own_request(v_request, 'customer');
    return query
    select
        e.id,
        case e.event
            when 'priority_skipped' then dispatch.to_uuid(e.payload ->> 'mechanic_id')
            else (
                select m.id from dispatch.mechanics as m
                where m.user_id = dispatch.to_uuid(substring(e.topics[2] from '^mechanic:(.*)$'))
            )
        end,
        w.ends_at - make_interval(mins => (e.payload ->> 'window_minutes')::integer),
        w.ends_at
    from dispatch.request_events as e
    cross join
        lateral (
            select
                case
                    when e.event = 'priority_request'
                        then (e.payload ->> 'window_ends_at')::timestamptz
                end as ends_at
        ) as w
    where
        -- The customer's topic, which comes first, is indexed.
        e.topics[1] = 'customer:' || v_request.customer_id and e.request_id = p_request_id
        and e.event in (
            'priority_request', 'priority_skipped', 'request_accepted', 'request_released'
        )
    order by e.id;

    -- Whose turn is still to come, or has come by the clock and is not announced yet.
    if
        v_request.is_pending and v_request.announced_at is null
        and v_request.window_began_at is not null and dispatch.favorites_priority_enabled()
    then
        return query
        select null::bigint, s.mechanic_id, s.began_at, s.ends_at
        from dispatch.due_steps(
            v_request.id,
            v_request.customer_id,
            case
                when
                    v_request.window_ends_at <= now()
                    or (dispatch.priority_window(v_request)).mechanic_id
                    = v_request.preferred_mechanic_id
                    then v_request.window_ends_at
                -- Gone meanwhile.
                else v_request.window_began_at
            end,
            'infinity'
        ) as s
        where s.skipped is null;
    end if;
end;
$$;

comment on function dispatch.list_request_mechanics(uuid) is
'Behind public.list_session_request_mechanics.';
revoke all on function dispatch.list_request_mechanics(uuid)
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_request_mechanics(uuid) to authenticated;
