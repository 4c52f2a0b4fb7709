-- Changes dispatch.stripe_events and public.session_requests, in one transaction: a paid session is
-- either recorded with its request or not at all, and then Stripe sends it again.
create or replace function dispatch.process_stripe_event(p_event jsonb)
returns jsonb
language plpgsql
volatile
-- definer: service_role and the webhook's role cannot write the ledger themselves
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_id text := p_event ->> 'id';
    v_type text := p_event ->> 'type';
    v_object jsonb := p_event #> '{data,object}';
    v_customer_id uuid;
    v_outcome text := 'ignored';
    v_request_id uuid;
    v_error text;
    v_is_new boolean;
begin
    if
        (
            p_event @? 'strict $ ? (
                @.id like_regex "^." && @.type.type() == "string"
                && @.data.object.type() == "object"
                && (
                    !(@.type starts with "checkout.session.") || @.data.object.id like_regex "^."
                )
            )'
        ) is not true
        or greatest(length(v_id), length(v_type), length(v_object ->> 'id')) > 255
    then
        perform dispatch.raise_error('invalid_event');
    end if;

    -- Payment and refund of one payment wait for each other, so that each sees what the other did.
    perform pg_advisory_xact_lock(
        hashtextextended(v_object ->> 'payment_intent', 1178687058)
    );

    if v_type = 'checkout.session.completed' then
        v_outcome := 'waiting_for_payment';
        if v_object ->> 'payment_status' in ('paid', 'no_payment_required') then
            v_outcome := 'request_created';
        end if;
    elsif v_type = 'checkout.session.async_payment_succeeded' then
        v_outcome := 'request_created';
    elsif v_type = 'charge.refunded' and v_object @> '{"refunded": true}' then
        v_outcome := 'refunded';
    end if;

    -- The event's id is what makes it happen once: a second delivery waits here for the first.
    insert into dispatch.stripe_events (id, type, payload, processed_at, outcome)
    values (v_id, v_type, p_event, now(), v_outcome)
    on conflict (id) do nothing;
    v_is_new := found;
    if not v_is_new then
        if exists (
            select from dispatch.stripe_events as e
            where e.id = v_id and e.processed_at is not null
        ) then
            return jsonb_build_object(
                'outcome', 'duplicate',
                'request_id', dispatch.request_of_checkout(v_object ->> 'id'),
                'created', false
            );
        end if;
    end if;

    if v_outcome = 'request_created' then
        begin  -- as dispatch.to_uuid, without the price of a call in every booking
            v_customer_id := (v_object #>> '{metadata,customer_id}')::uuid;
        exception
            when invalid_text_representation then null;
        end;
        if v_customer_id is null then
            v_customer_id := dispatch.to_uuid(v_object ->> 'client_reference_id');
        end if;
        v_request_id := dispatch.book_paid_session(v_object, v_customer_id);
        if v_request_id is null then
            -- Booked by the session's other event, or not to be booked at all.
            v_request_id := dispatch.request_of_checkout(v_object ->> 'id');
            v_error := case
                when v_request_id is null
                    then dispatch.booking_error(v_object #>> '{metadata,plan_code}', v_customer_id)
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
