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
as $$
declare
    v_mechanic_id uuid := dispatch.require_mechanic();
begin
    return query
    select
        r.id,
        r.session_type,
        r.plan_code,
        coalesce(w.ends_at > now(), false),
        case when w.ends_at > now() then w.ends_at end,
        r.created_at,
        s.score,
        s.reasons
    from public.mechanics as m
    cross join public.session_requests as r
    cross join dispatch.priority_window(r) as w
    cross join dispatch.score_match(m, r, now()) as s
    where
        m.id = v_mechanic_id and r.status = 'pending'
        and dispatch.refusal(r, v_mechanic_id) is null
    order by 4 desc, s.score desc, r.created_at, r.id;
end;
$$;

comment on function dispatch.list_open_requests() is 'Behind public.list_open_session_requests.';
revoke all on function dispatch.list_open_requests()
from public, anon, authenticated, service_role;
grant execute on function dispatch.list_open_requests() to authenticated;
