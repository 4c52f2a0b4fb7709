create or replace function dispatch.explain_routing(
    p_request_id uuid,
    p_now timestamptz default now(),
    p_limit integer default 100
)
returns table (
    mechanic_id uuid,
    display_name text,
    told_at timestamptz,
    may_accept boolean,
    score integer,
    why text
)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_request dispatch.requests;
    v_window record;
    v_broadcast_at timestamptz;
    v_skipped text;
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id;
    if v_request.id is null then
        perform dispatch.raise_error('request_not_found');
    end if;
    v_window := dispatch.priority_window(v_request, p_now);

    -- The customer's topic, which comes first, is indexed.
    select
        min(e.created_at) filter (where e.event = 'new_request'),
        string_agg(e.payload ->> 'reason', ', ' order by e.id)
        filter (where e.event = 'priority_skipped')
    into v_broadcast_at, v_skipped
    from dispatch.request_events as e
    where e.topics[1] = 'customer:' || v_request.customer_id and e.request_id = p_request_id;

    return query
    -- Whose the request was in turn, when they were told, and why it went on.
    with turns as (
        select
            e.event,
            e.created_at,
            substring(e.topics[2] from '^mechanic:(.*)$') as user_id,
            e.payload ->> 'mechanic_id' as mechanic_id,
            e.payload ->> 'reason' as reason,
            case
                when e.event = 'priority_request'
                    then count(*) filter (where e.event = 'priority_request') over (order by e.id)
            end as number,
            lead(e.payload ->> 'reason') over (
                partition by e.event = 'priority_skipped' order by e.id
            ) as ended_by
        from dispatch.request_events as e
        where
            e.topics[1] = 'customer:' || v_request.customer_id and e.request_id = p_request_id
            and e.event in ('priority_request', 'priority_skipped', 'new_request')
    )

    select
        m.id,
        m.display_name,
        case
            when t.number is not null then t.created_at
            when
                m.is_approved and m.user_id <> v_request.customer_id
                and coalesce(b.blocked_at > v_broadcast_at, true)
                then v_broadcast_at
        end,
        m.is_approved and m.user_id is not null and f.refusal is null,
        s.score,
        concat_ws(
            '; ',
            case
                when not m.is_approved then 'not approved'
                when m.user_id is null then 'has no account'
                when m.user_id = v_request.customer_id then 'is the customer'
                when m.user_id = v_request.mechanic_user_id then 'took it at ' || v_request.accepted_at
                when b.blocked_at is not null then 'blocked at ' || b.blocked_at
                when not v_request.is_pending
                    then 'the request is ' || v_request.status
                when x.how is not null then x.how || ' at ' || x.created_at
                when f.refusal = 'at_capacity'
                    then 'has ' || dispatch.max_open_sessions() || ' open sessions, as many as allowed'
                when f.refusal = 'request_expired' then 'expired at ' || v_request.expires_at
                when f.refusal is not null and v_window.ends_at > p_now
                    then 'reserved for another mechanic until ' || v_window.ends_at
                when f.refusal is not null
                    then 'not open to this one by the marketplace''s rule (dispatch.open_to)'
                when v_window.ends_at > p_now
                    then 'preferred, it is theirs alone until ' || v_window.ends_at
                when v_window.mechanic_id is not null
                    then 'open to everyone since ' || v_window.ends_at || ', not announced yet'
                else
                    'open to everyone since '
                    || coalesce(v_request.announced_at, v_request.created_at)
            end,
            case when t.number = 1 then 'was told first' else 'was told in turn ' || t.number end,
            'it went on: ' || t.ended_by,
            'was passed over: ' || k.reason,
            'is to be asked in turn ' || n.turn,
            'a favourite was asked for and skipped: ' || v_skipped,
            case when not dispatch.is_online(m, p_now) then 'offline' end,
            nullif(array_to_string(s.reasons, ', '), '')
        )
    from dispatch.mechanics as m
    cross join
        dispatch.score_match(
            m, v_request.requested_brand, v_request.customer_city, v_request.customer_country, p_now
        ) as s
    cross join
        lateral (
            select dispatch.refusal(v_request, m.id, m.user_id, p_now) as refusal
        ) as f
    left join turns as t on t.event = 'priority_request' and t.user_id = m.user_id::text
    left join turns as k on k.event = 'priority_skipped' and k.mechanic_id = m.id::text
    left join dispatch.steps as n
        on n.request_id = v_request.id and n.mechanic_id = m.id and v_request.announced_at is null
    left join lateral (
        select
            case
                when x.event = 'request_declined' then 'declined'
                when x.reason = 'no_show' then 'did not come, as the customer said'
                else 'gave it back'
            end as how,
            x.created_at
        from dispatch.exclusions as x
        where x.request_id = p_request_id and x.user_id = m.user_id
        order by x.created_at
        limit 1
    ) as x on true
    left join lateral (
        select min(o.created_at) as blocked_at from dispatch.blocks as o
        where o.user_id = m.user_id and o.other_id = v_request.customer_id
    ) as b on true
    order by
        t.number, n.turn, k.event, m.user_id is not distinct from v_request.mechanic_user_id desc, 4 desc,
        s.score desc, m.id
    limit p_limit;
end;
$$;

comment on function dispatch.explain_routing(uuid, timestamptz, integer) is
'For each mechanic, when they were told of this request (by the event log; null: they were not), '
'and whether and why it is open to them at p_now. The favourite and the winner come first, then '
'who may accept, best first; p_limit rows, null for all. Raises PT404 request_not_found.';
revoke all on function dispatch.explain_routing(uuid, timestamptz, integer)
from public, anon, authenticated, service_role;
