-- Changes dispatch.request_events.
create or replace function dispatch.log_broadcast(
    p_request dispatch.requests,
    p_reason text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.record_event(
        p_request.id,
        p_request.session_type,
        p_request.plan_code,
        p_request.created_at,
        'new_request',
        array['customer:' || p_request.customer_id, 'session_requests_feed'],
        jsonb_strip_nulls(
            jsonb_build_object(
                'is_fallback_broadcast', p_reason is not null,
                'reason', p_reason,
                -- For whoever asks how late the sweep was.
                'window_ends_at', case when p_reason = 'window_ended' then p_request.window_ends_at end
            )
        ) || case
            when dispatch.governs_all() then '{}'
            -- As those listen who were there first.
            else jsonb_build_object(
                'request', jsonb_build_object('id', p_request.id),
                'isFallbackBroadcast', p_reason is not null
            )
        end
    );
end;
$$;

comment on function dispatch.log_broadcast(dispatch.requests, text) is
'Logs that a request is everyone''s now: a fallback for this reason, or none (null). The window is '
'the one that it had.';
revoke all on function dispatch.log_broadcast(dispatch.requests, text)
from public, anon, authenticated, service_role;
