create or replace function dispatch.list_open_requests()
returns table (
    request_id uuid, session_type text, plan_code text, is_priority boolean,
    window_ends_at timestamptz, created_at timestamptz, match_score integer, match_reasons text[],
    plan_title text, price_cents integer, currency text, requested_brand text, customer_city text,
    is_urgent boolean, is_returning_customer boolean
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
#variable_conflict use_variable
declare
    v_mechanic_id uuid := dispatch.require_mechanic();
    v_user_id uuid := auth.uid();
    v_blocked uuid[] := dispatch.blocked_users(v_user_id);
    v_is_everyones constant boolean := dispatch.open_to() = 'true';
begin
    if dispatch.max_open_sessions() is not null then
        if dispatch.is_at_capacity(v_mechanic_id, v_user_id) then
            return;
        end if;
    end if;
    return query
    with unannounced as materialized (
        -- Each once: that function's queries see one state of the rows, but the feature may be put
        -- on or taken off between two of them, and then both have the same request.
        select u.request_id, max(u.window_ends_at) as window_ends_at
        from dispatch.unannounced_requests(v_mechanic_id) as u
        group by u.request_id
    ),

    open_requests as (
        select
            p.id,
            p.session_type,
            p.plan_code,
            p.created_at,
            p.ends_at,
            p.customer_id,
            p.requested_brand,
            p.customer_city,
            p.is_urgent,
            -- In one array, as nulls are equal there.
            array[p.requested_brand, p.customer_city, p.customer_country] as sought
        from (
            select r.*, null::timestamptz as ends_at
            from dispatch.requests as r
            where r.is_pending and r.announced_at is not null
            union all
            select r.*, u.window_ends_at
            from dispatch.requests as r
            inner join unannounced as u on u.request_id = r.id
            where
                -- By id alone, for the same reason as in dispatch.announce_fallbacks.
                r.id = any(array(select u.request_id from unannounced as u))
                and r.status = 'pending' and r.announced_at is null
        ) as p
        where
            -- Of these, dispatch.refusal says no more than this. Asking it of each of thousands
            -- would take longer than all the rest.
            -- (Who does not sign in is nobody's id.)
            (p.customer_id = v_user_id) is not true
            and (p.customer_id = any(v_blocked)) is not true
            and (p.expires_at <= now()) is not true
            and p.id not in (
                select x.request_id from dispatch.exclusions as x where x.user_id = v_user_id
            )
            and case
                when v_is_everyones or p.ends_at > now() then true
                else dispatch.is_open_to(p.id, v_user_id)
            end
    ),

    -- Many requests seek the same.
    scores as materialized (
        select d.sought, s.score, s.reasons
        from (select distinct o.sought from open_requests as o) as d
        cross join dispatch.mechanics as m
        cross join
            lateral dispatch.score_match(m, d.sought[1], d.sought[2], d.sought[3], now()) as s
        where m.id = v_mechanic_id
    ),

    -- A marketplace of theirs may have a code twice, and the request must not be there twice.
    plans as (
        select distinct on (p.code) p.code, p.title, p.price_cents, p.currency
        from dispatch.plans as p
        order by p.code, p.is_active desc
    ),

    -- Whom this mechanic has had before. All of their sessions, not of the engine's alone.
    customers as materialized (
        select distinct r.customer_id
        from public.session_requests as r
        where
            r.mechanic_id = case when dispatch.assigns_user_id() then v_user_id else v_mechanic_id end
            and r.status::text not in ('pending', 'cancelled', 'expired')
    )

    select
        o.id,
        -- As in a notice: every mechanic asks for this, and a customer of theirs may write it.
        left(o.session_type, 64),
        left(o.plan_code, 64),
        coalesce(o.ends_at > now(), false),
        case when o.ends_at > now() then o.ends_at end,
        o.created_at,
        s.score,
        s.reasons,
        p.title,
        p.price_cents,
        p.currency,
        o.requested_brand,
        o.customer_city,
        o.is_urgent,
        c.customer_id is not null
    from open_requests as o
    inner join scores as s on s.sought = o.sought
    left join plans as p on p.code = o.plan_code
    left join customers as c on c.customer_id = o.customer_id
    order by 4 desc, s.score desc, o.created_at, o.id;
end;
$$;

comment on function dispatch.list_open_requests() is 'Behind public.list_open_session_requests.';
revoke all on function dispatch.list_open_requests()
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_open_requests() to authenticated;
