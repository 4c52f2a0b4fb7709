-- Every error a client can meet, in one place: the word it switches on, the HTTP status that
-- PostgREST makes of the SQLSTATE, and what to do.
create or replace function dispatch.raise_error(p_detail text)
returns void
language plpgsql
-- It writes nothing, and those that only read call it. Not immutable: a plan would be made of it.
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_status text;
    v_message text;
    v_hint text;
begin
    case p_detail
        when 'not_signed_in' then
            v_status := 'PT401';
            v_message := 'Not signed in';
            v_hint := 'Send the access token of a signed-in user.';
        when 'not_a_mechanic' then
            v_status := 'PT403';
            v_message := 'Not an approved mechanic';
            v_hint := 'Only a mechanic whose status is approved may do this.';
        when 'not_yours' then
            v_status := 'PT403';
            v_message := 'Not your request';
            v_hint := 'Only the request''s own customer or mechanic may do this.';
        when 'feature_disabled' then
            v_status := 'PT404';
            v_message := 'Feature not enabled';
            v_hint := 'ENABLE_FAVORITES_PRIORITY is off; book without a preferred mechanic.';
        when 'request_not_found' then
            v_status := 'PT404';
            v_message := 'Request not found';
            v_hint := 'Check the id; a request that is not open to you is not shown either.';
        when 'request_taken' then
            v_status := 'PT409';
            v_message := 'Another mechanic has taken this request';
            v_hint := 'Choose another one from list_open_session_requests().';
        when 'at_capacity' then
            v_status := 'PT409';
            v_message := 'You have as many open sessions as allowed';
            v_hint := 'Complete one with complete_session_request(request_id), then accept again.';
        when 'request_not_pending' then
            v_status := 'PT409';
            v_message := 'The request''s state does not allow this any more';
            v_hint := 'Read the request again; see get_session_request_timeline(request_id).';
        when 'too_early' then
            v_status := 'PT409';
            v_message := 'It is too early to say that the mechanic did not come';
            v_hint := 'Call it from 10 minutes after the accept (accepted_at).';
        when 'booking_refused' then
            v_status := 'PT409';
            v_message := 'The marketplace refused the booking';
            v_hint := 'Nothing was booked. Try another plan, or tell whoever runs the marketplace.';
        when 'presence_refused' then
            v_status := 'PT409';
            v_message := 'The marketplace refused the status';
            v_hint := 'Nothing was changed. Tell whoever runs the marketplace.';
        when 'request_cancelled' then
            v_status := 'PT410';
            v_message := 'The request was cancelled';
            v_hint := 'Remove it from the list.';
        when 'request_expired' then
            v_status := 'PT410';
            v_message := 'The request has expired';
            v_hint := 'Remove it from the list.';
        when 'invalid_plan' then
            v_status := 'PT422';
            v_message := 'No such plan, or not for this use';
            v_hint := 'Use the code of an active row of service_plans; a plan that costs 0 for '
            'request_free_session.';
        when 'invalid_routing_type' then
            v_status := 'PT422';
            v_message := 'Invalid routing_type';
            v_hint := 'Use broadcast, or priority_broadcast with a preferred_mechanic_id.';
        when 'invalid_window' then
            v_status := 'PT422';
            v_message := 'Invalid priority_window_minutes';
            v_hint := 'Use a whole number of minutes from 1 to 60, for all favourites together, or '
            'leave it out for 10.';
        when 'invalid_mechanics' then
            v_status := 'PT422';
            v_message := 'Invalid preferred_mechanic_ids';
            v_hint := 'Name one to three favourites, each once, in the order to ask them.';
        when 'invalid_status' then
            v_status := 'PT422';
            v_message := 'Invalid status';
            v_hint := 'Use online, busy, away or offline.';
        when 'invalid_device' then
            v_status := 'PT422';
            v_message := 'Not a push subscription';
            v_hint := 'Pass endpoint and keys as PushSubscription.toJSON() has them; the endpoint '
            'is an https address of a push service.';
        when 'too_many_devices' then
            v_status := 'PT429';
            v_message := 'Too many devices in a short time';
            v_hint := 'Ten are enough for an hour; call unregister_device for those not used.';
        when 'invalid_answers' then
            v_status := 'PT422';
            v_message := 'Not the answers of a push service';
            v_hint := 'Pass an array of objects with push_id, status (a whole number or null) and '
            'retry_after (seconds or null); none of these was taken.';
        when 'invalid_notes' then
            v_status := 'PT422';
            v_message := 'Invalid notes';
            v_hint := 'Use at most 500 characters.';
        when 'invalid_event' then
            v_status := 'PT422';
            v_message := 'Not a Stripe event';
            v_hint := 'Pass the verified webhook body: an object with id, type and data.object.';
    end case;
    raise exception using
        errcode = v_status, message = v_message, detail = p_detail, hint = v_hint;
end;
$$;

comment on function dispatch.raise_error(text) is
'Raises the contract''s error for a detail word: SQLSTATE PTnnn, message, detail, hint.';
revoke all on function dispatch.raise_error(text)
from public, anon, authenticated, service_role;
