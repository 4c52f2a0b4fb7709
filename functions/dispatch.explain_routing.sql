create or replace function dispatch.explain_routing(
    p_request_id uuid,
    p_now timestamptz default now()
)
returns table (mechanic_id uuid, display_name text, may_accept boolean, score integer, why text)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
    v_request public.session_requests;
    v_window record;
begin
    select * into v_request from public.session_requests as r where r.id = p_request_id;
    if v_request.id is null then
        perform dispatch.raise_error('request_not_found');
    end if;
    select * into v_window from dispatch.priority_window(v_request);

    return query
    select
        m.id,
        m.display_name,
        m.status is not distinct from 'approved' and f.refusal is null,
        s.score,
        case
            when m.status is distinct from 'approved'
                then 'not approved: status is ' || coalesce(m.status, 'pending')
            when m.id = v_request.customer_id then 'is the customer'
            when m.id = v_request.mechanic_id then 'took it'
            when v_request.status <> 'pending' then 'the request is ' || v_request.status
            when d.declined_at is not null then 'declined at ' || d.declined_at
            when f.refusal = 'request_expired' then 'expired at ' || v_request.expires_at
            when f.refusal is not null
                then 'reserved for another mechanic until ' || v_window.ends_at
            when v_window.ends_at > p_now then 'preferred, told first until ' || v_window.ends_at
            when v_window.mechanic_id is not null
                then 'open to everyone since ' || v_window.ends_at || ', not announced yet'
            else
                'open to everyone since '
                || coalesce(v_request.notification_sent_at, v_request.created_at)
        end
        || coalesce('; ' || nullif(array_to_string(s.reasons, ', '), ''), '')
    from public.mechanics as m
    cross join dispatch.score_match(m, v_request, p_now) as s
    cross join dispatch.refusal(v_request, m.id, p_now) as f (refusal)
    left join lateral (
        select min(e.created_at) as declined_at from dispatch.request_events as e
        where
            e.request_id = p_request_id and e.event = 'request_declined' and e.actor_id = m.id
    ) as d on true
    order by 3 desc, s.score desc, m.id;
end;
$$;

comment on function dispatch.explain_routing(uuid, timestamptz) is
'For each mechanic, whether and why this request is open to them at p_now. '
'Raises PT404 request_not_found.';
revoke all on function dispatch.explain_routing(uuid, timestamptz)
from public, anon, authenticated, service_role;
