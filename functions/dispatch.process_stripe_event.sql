-- Changes dispatch.stripe_events and public.session_requests, in one transaction: a paid session is
-- either recorded with its request or not at all, and then Stripe sends it again.
create or replace function dispatch.process_stripe_event(p_event jsonb)
returns jsonb
language plpgsql
volatile
-- definer: service_role and the webhook's role cannot write the ledger themselves
security definer
set search_path = ''
as $$
declare
    v_id text := p_event ->> 'id';
    v_type text := p_event ->> 'type';
    v_object jsonb := p_event #> '{data,object}';
    v_outcome text;
    v_is_new boolean;
    v_request_id uuid;
    v_error text;
begin
    if
        jsonb_typeof(p_event) is distinct from 'object'
        or jsonb_typeof(p_event -> 'id') is distinct from 'string'
        or jsonb_typeof(p_event -> 'type') is distinct from 'string'
        or jsonb_typeof(v_object) is distinct from 'object'
        or v_id = '' or length(v_id) > 255 or length(v_type) > 255
        or (
            v_type like 'checkout.session.%'
            and (
                jsonb_typeof(v_object -> 'id') is distinct from 'string'
                or length(v_object ->> 'id') not between 1 and 255
            )
        )
    then
        perform dispatch.raise_error('invalid_event');
    end if;

    -- Payment and refund of one payment wait for each other, so that each sees what the other did.
    if jsonb_typeof(v_object -> 'payment_intent') = 'string' then
        perform pg_advisory_xact_lock(
            hashtextextended('stripe:' || (v_object ->> 'payment_intent'), 0)
        );
    end if;

    v_outcome := case
        when v_type = 'checkout.session.async_payment_succeeded' then 'request_created'
        when
            v_type = 'checkout.session.completed'
            and v_object ->> 'payment_status' in ('paid', 'no_payment_required')
            then 'request_created'
        when v_type = 'checkout.session.completed' then 'waiting_for_payment'
        when v_type = 'charge.refunded' and v_object -> 'refunded' = 'true' then 'refunded'
        else 'ignored'
    end;

    -- The event's id is what makes it happen once: a second delivery waits here for the first.
    insert into dispatch.stripe_events (id, type, payload, processed_at, outcome)
    values (v_id, v_type, p_event, now(), v_outcome)
    on conflict (id) do nothing;
    v_is_new := found;
    if
        not v_is_new
        and exists (
            select from dispatch.stripe_events as e
            where e.id = v_id and e.processed_at is not null
        )
    then
        return jsonb_build_object(
            'outcome', 'duplicate',
            'request_id', dispatch.request_of_checkout(v_object ->> 'id'),
            'created', false
        );
    end if;

    if v_outcome = 'request_created' then
        v_request_id := dispatch.book_paid_session(v_object);
        if v_request_id is null then
            -- Booked by the session's other event, or not to be booked at all.
            v_request_id := dispatch.request_of_checkout(v_object ->> 'id');
            v_error := case
                when v_request_id is null then dispatch.booking_error(v_object)
            end;
            v_outcome := case when v_request_id is null then 'error' else 'duplicate' end;
        end if;
    elsif v_outcome = 'refunded' then
        v_request_id := dispatch.cancel_refunded(v_object ->> 'payment_intent');
    end if;

    -- It went another way than its type promised, or was tried again after an error.
    if v_outcome in ('duplicate', 'error') or not v_is_new then
        update dispatch.stripe_events
        set
            processed_at = case when v_outcome <> 'error' then now() end,
            outcome = v_outcome,
            error = v_error
        where id = v_id;
    end if;

    return jsonb_build_object(
        'outcome', v_outcome,
        'request_id', v_request_id,
        'created', v_outcome = 'request_created'
    );
end;
$$;

comment on function dispatch.process_stripe_event(jsonb) is 'Behind public.process_stripe_event.';
revoke all on function dispatch.process_stripe_event(jsonb)
from public, anon, authenticated, service_role;
grant execute on function dispatch.process_stripe_event(jsonb) to service_role;
