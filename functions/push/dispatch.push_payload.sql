-- Words that a lock screen may show: nobody's name. A service worker may say it in its own.
create or replace function dispatch.push_payload(
    p_event_id bigint,
    p_event text,
    p_audience text,
    p_payload jsonb,
    p_now timestamptz
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ends_at timestamptz := (p_payload ->> 'window_ends_at')::timestamptz;
    v_minutes integer := ceil(extract(epoch from v_ends_at - p_now) / 60)::integer;
    v_session text := initcap(p_payload ->> 'session_type') || ' session';
    v_title text;
    v_body text;
begin
    case p_audience || ' ' || p_event
        when 'mechanic priority_request' then
            v_title := 'A customer asks for you';
            v_body := format(
                '%s, yours alone for %s minute%s.',
                v_session, v_minutes, case when v_minutes > 1 then 's' end
            );
        when 'mechanic new_request' then
            v_title := 'A customer is waiting';
            v_body := v_session || ', open to every mechanic.';
        when 'customer new_request' then
            v_title := 'Every mechanic is asked now';
            v_body := 'Your favourite did not take your request.';
        when 'customer request_accepted' then
            v_title := 'A mechanic took your request';
            v_body := v_session || ': it can begin.';
        when 'customer request_released' then
            v_title := 'Finding another mechanic';
            v_body := 'Yours cannot come. Every other mechanic is asked now.';
        when 'customer request_cancelled' then
            v_title := case p_payload ->> 'reason'
                when 'expired' then 'Nobody took your request'
                when 'refunded' then 'Your payment was refunded'
                else 'Your request was cancelled'
            end;
            v_body := 'The request is closed.';
        else
            return null;
    end case;
    return jsonb_strip_nulls(jsonb_build_object(
        'event_id', p_event_id,
        'event', p_event,
        'audience', p_audience,
        'request_id', p_payload -> 'request_id',
        'window_ends_at', case when p_event = 'priority_request' then v_ends_at end,
        'title', v_title,
        'body', v_body
    ));
end;
$$;

comment on function dispatch.push_payload(bigint, text, text, jsonb, timestamptz) is
'What a push says of an event at p_now, to whom (mechanic, customer): ids, a title and a body. '
'Null: this is none of what they are told.';
revoke all on function dispatch.push_payload(bigint, text, text, jsonb, timestamptz)
from public, anon, authenticated, service_role;
