create or replace function dispatch.list_open_requests()
returns table (
    request_id uuid, session_type public.session_type, plan_code text, is_priority boolean,
    window_ends_at timestamptz, created_at timestamptz, match_score integer, match_reasons text[]
)
language plpgsql
stable
-- definer: reads the event log and the flag; the caller is checked by require_mechanic
security definer
set search_path = pg_catalog, pg_temp
-- A plan made while few requests were open would go through all scores for each of them.
set enable_nestloop = off
-- The one nested loop that it needs is now said to cost so much that it would be compiled.
set jit = off
as $$
declare
    v_mechanic_id uuid := dispatch.require_mechanic();
    v_unannounced uuid[] := array(select dispatch.unannounced_requests(v_mechanic_id));
begin
    return query
    with open_requests as (
        select
            r.id,
            r.session_type,
            r.plan_code,
            r.created_at,
            null::timestamptz as ends_at,
            -- In one array, as nulls are equal there.
            array[r.requested_brand, r.customer_city, r.customer_country] as sought
        from public.session_requests as r
        where
            r.status = 'pending' and r.notification_sent_at is not null
            -- Of what was broadcast, dispatch.refusal says no more than this. Asking it of each of
            -- thousands would take longer than all the rest.
            and r.customer_id <> v_mechanic_id
            and (r.expires_at <= now()) is not true
            and r.id not in (
                select e.request_id from dispatch.request_events as e
                where e.event = 'request_declined' and e.actor_id = v_mechanic_id
            )
        union all
        select
            r.id,
            r.session_type,
            r.plan_code,
            r.created_at,
            (select w.ends_at from dispatch.priority_window(r) as w),
            array[r.requested_brand, r.customer_city, r.customer_country]
        from public.session_requests as r
        where
            -- By id alone, for the same reason as in dispatch.announce_fallbacks.
            r.id = any(v_unannounced)
            and r.status::text = 'pending' and r.notification_sent_at is null
            and dispatch.refusal(r, v_mechanic_id) is null
    ),

    -- Many requests seek the same.
    scores as materialized (
        select d.sought, s.score, s.reasons
        from (select distinct o.sought from open_requests as o) as d
        cross join public.mechanics as m
        cross join
            lateral dispatch.score_match(m, d.sought[1], d.sought[2], d.sought[3], now()) as s
        where m.id = v_mechanic_id
    )

    select
        o.id,
        o.session_type,
        o.plan_code,
        coalesce(o.ends_at > now(), false),
        case when o.ends_at > now() then o.ends_at end,
        o.created_at,
        s.score,
        s.reasons
    from open_requests as o
    inner join scores as s on s.sought = o.sought
    order by 4 desc, s.score desc, o.created_at, o.id;
end;
$$;

comment on function dispatch.list_open_requests() is 'Behind public.list_open_session_requests.';
revoke all on function dispatch.list_open_requests()
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_open_requests() to authenticated;
