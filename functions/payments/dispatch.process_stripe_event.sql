-- Changes dispatch.stripe_events and public.session_requests, in one transaction: a paid session is
-- either recorded with its request or not at all, and then Stripe sends it again.
-- Every booking goes this way: few statements, and no function called that is not needed.
create or replace function dispatch.process_stripe_event(p_event jsonb)
returns jsonb
language plpgsql
volatile
-- definer: service_role and the webhook's role cannot write the ledger themselves
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_id text := p_event ->> 'id';
    v_type text := p_event ->> 'type';
    v_object jsonb := p_event #> '{data,object}';
    v_metadata jsonb := v_object -> 'metadata';
    v_payment text := v_object ->> 'payment_intent';
    v_customer text;
    v_customer_id uuid;
    v_outcome text := 'ignored';
    v_refunded_at timestamptz;
    v_request_id constant uuid := gen_random_uuid();
    v_booked_id uuid;
    v_is_other_price boolean;
    v_left_out text;
    v_subject text;
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

    -- A payment is known by its id, where an event has more of it too. No id of Stripe's is as long as
    -- 255; in full no index would hold it, and who paid would not be booked.
    if jsonb_typeof(v_object -> 'payment_intent') = 'object' or length(v_payment) > 255 then
        if jsonb_typeof(v_object -> 'payment_intent') = 'object' then
            v_payment := v_object #>> '{payment_intent,id}';
        end if;
        if length(v_payment) > 255 then
            v_payment := left(v_payment, 200) || '... ' || md5(v_payment);
        end if;
        v_object := jsonb_set(
            v_object, '{payment_intent}', coalesce(to_jsonb(v_payment), 'null')
        );
        p_event := jsonb_set(p_event, '{data,object}', v_object);
    end if;

    -- Another mode or account than the owner's. Or other products share the account: of their sessions
    -- nothing is booked.
    if
        (
            -- Folded into the plan, of which nothing is left where all is expected.
            dispatch.expected_stripe_event() <> '{}'
            and not p_event @> dispatch.expected_stripe_event()
            and (
                p_event ->> 'account' is not null
                or not p_event @> (dispatch.expected_stripe_event() - 'account')
            )
        )
        or (
            v_type like 'checkout.session.%'
            and (
                v_object ->> 'mode' <> 'payment'
                or concat(v_metadata ->> 'plan_code', v_metadata ->> 'customer_id') = ''
            )
        )
    then
        v_outcome := 'ignored';
        -- Of one that would have been booked, whoever paid is told (dispatch.checkout_status).
        if
            (
                v_type = 'checkout.session.async_payment_succeeded'
                or v_type = 'checkout.session.completed'
                and v_object ->> 'payment_status' in ('paid', 'no_payment_required')
            )
            and coalesce(v_object ->> 'mode', 'payment') = 'payment'
            and concat(v_metadata ->> 'plan_code', v_metadata ->> 'customer_id') <> ''
        then
            v_subject := v_object ->> 'id';
        end if;
    elsif v_type = 'checkout.session.completed' then
        if v_object ->> 'payment_status' in ('paid', 'no_payment_required') then
            v_outcome := 'request_created';
        else
            v_outcome := 'waiting_for_payment';
            v_subject := v_object ->> 'id';
        end if;
    elsif v_type = 'checkout.session.async_payment_succeeded' then
        v_outcome := 'request_created';
    elsif v_type = 'checkout.session.async_payment_failed' then
        v_outcome := 'payment_failed';
        v_subject := v_object ->> 'id';
    elsif v_type = 'charge.refunded' then
        -- Of a part it changes nothing by itself (dispatch.weigh_disputes).
        v_outcome := case when v_object @> '{"refunded": true}' then 'refunded' else 'ignored' end;
        v_subject := v_payment;
    elsif
        v_type in ('refund.failed', 'refund.updated', 'charge.refund.updated')
        and v_object ->> 'status' in ('failed', 'canceled')
    then
        v_outcome := 'refund_failed';
        v_subject := v_payment;
    elsif v_type in ('charge.dispute.created', 'charge.dispute.closed') then
        v_outcome := case
            -- Prevented: the bank's network has paid the customer back, and nobody is asked.
            when v_object ->> 'status' in ('lost', 'prevented') then 'dispute_lost'
            when v_type = 'charge.dispute.closed' then 'dispute_won'
            else 'disputed'
        end;
        v_subject := v_payment;
    end if;

    -- Payment and refund of one payment wait for each other, so that each sees what the other did. (Not
    -- "perform", which would plan and run a query.)
    v_is_new := pg_advisory_xact_lock(hashtextextended(v_payment, 1178687058)) is null;
    -- So do the events of one Checkout Session of theirs, of which only the ledger knows. (Of ours the
    -- table does, which is asked by the insert.)
    if v_outcome = 'request_created' and not dispatch.governs_all() then
        v_is_new := pg_advisory_xact_lock(hashtextextended(v_object ->> 'id', 1178687058)) is null;
        -- Also of a request that is gone since, with its customer's account.
        select e.request_id into v_booked_id
        from dispatch.stripe_events as e
        where
            e.outcome = 'request_created'
            and (e.payload #>> '{data,object,id}') = v_object ->> 'id';
        if found then
            v_outcome := 'duplicate';
        end if;
    end if;

    -- The event's id is what makes it happen once: a second delivery waits here for the first.
    insert into dispatch.stripe_events (
        id, type, payload, processed_at, outcome, request_id, subject
    )
    values (
        v_id, v_type, p_event, now(), v_outcome,
        case v_outcome when 'request_created' then v_request_id else v_booked_id end,
        v_subject
    )
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
        -- Paid back before it was booked: recorded, and never offered to anyone.
        select r.received_at into v_refunded_at
        from dispatch.stripe_events as r
        where r.outcome in ('refunded', 'dispute_lost') and r.subject = v_payment
        limit 1;
        if v_refunded_at is not null and not dispatch.is_paid_back(v_payment, v_object) then
            v_refunded_at := null;
        end if;

        -- metadata.customer_id, or else client_reference_id. What is no id, and what the marketplace
        -- refuses, leaves the event in the ledger with the reason.
        foreach v_customer in array
            array[v_metadata ->> 'customer_id', v_object ->> 'client_reference_id']
        loop
            continue when v_customer is null;
            begin
                v_customer_id := v_customer::uuid;
                -- Of ours the foreign key knows whether there is such a user; it waits for a deletion.
                if not dispatch.governs_all() then
                    select u.id into v_customer_id
                    from auth.users as u
                    where u.id = v_customer_id
                    for key share;
                    exit when v_customer_id is null;
                    select b.booked_id, b.left_out into v_booked_id, v_left_out
                    from dispatch.book_theirs(
                        v_request_id, v_customer_id, v_object, v_refunded_at
                    ) as b;
                    v_is_other_price := true;  -- to be looked at: their row has no place for it
                else
                    insert into public.session_requests (
                        id, customer_id, session_type, plan_code, status, customer_name,
                        customer_email, notes, requested_brand, customer_country, customer_city,
                        metadata
                    )
                    select
                        v_request_id,
                        v_customer_id,
                        p.session_type::public.session_type,
                        p.code,
                        case when v_refunded_at is null then 'pending' else 'cancelled' end
                        ::public.session_request_status,
                        v_object #>> '{customer_details,name}',
                        v_object #>> '{customer_details,email}',
                        v_metadata ->> 'notes',
                        v_metadata ->> 'requested_brand',
                        coalesce(
                            v_metadata ->> 'customer_country',
                            v_object #>> '{customer_details,address,country}'
                        ),
                        coalesce(
                            v_metadata ->> 'customer_city',
                            v_object #>> '{customer_details,address,city}'
                        ),
                        jsonb_strip_nulls(jsonb_build_object(
                            'stripe_checkout_session_id', v_object -> 'id',
                            'stripe_payment_intent', v_object -> 'payment_intent',
                            'refunded_at', v_refunded_at,
                            'amount_total', v_object -> 'amount_total',
                            'currency', v_object -> 'currency',
                            -- What the plan cost, if it is not that.
                            'price_cents', case
                                when
                                    v_object -> 'amount_total' <> to_jsonb(p.price_cents)
                                    or v_object ->> 'currency' <> p.currency
                                    then p.price_cents
                            end,
                            -- For dispatch.route_request, which finds the wish for a favourite there.
                            'checkout', case when v_refunded_at is null then v_metadata end
                        ))
                    from dispatch.plans as p
                    where p.code = v_metadata ->> 'plan_code'
                    on conflict ((metadata ->> 'stripe_checkout_session_id'))
                    where (metadata ->> 'stripe_checkout_session_id') is not null
                    do nothing
                    returning id, metadata ? 'price_cents' into v_booked_id, v_is_other_price;
                end if;
                -- What they have checked at the commit would take the event along. (On ours as
                -- dispatch.ask_deferred, without the price of a call in every booking; on theirs it
                -- has been asked.)
                if dispatch.governs_all() then
                    if pg_my_temp_schema() = 0 then
                        set constraints all immediate;
                    else
                        perform dispatch.ask_deferred();
                    end if;
                end if;
                exit;
            exception
                when invalid_text_representation then
                    v_error := dispatch.marketplace_error(sqlstate, sqlerrm);
                    v_booked_id := null;
                    -- It was an id, and what the booking meets is none: nobody else has paid.
                    exit when v_customer_id is not null;
                -- (A trigger of theirs that takes longer than the webhook app waits is cancelled.)
                when query_canceled or assert_failure or others then
                    v_error := dispatch.marketplace_error(sqlstate, sqlerrm);
                    if v_error is null then
                        raise;
                    end if;
                    v_booked_id := null;
                    exit;
            end;
        end loop;

        if v_booked_id is null then
            -- Booked by the session's other event, or not to be booked at all.
            v_booked_id := dispatch.request_of_checkout(v_object ->> 'id');
            if v_booked_id is not null then
                v_outcome := 'duplicate';
                v_error := null;
            else
                v_outcome := 'error';
                v_error := coalesce(
                    dispatch.booking_error(v_metadata ->> 'plan_code', v_customer_id),
                    v_error,
                    dispatch.marketplace_error(null, null)
                );
                -- Paid back, and nobody's: there is nothing to book, and nobody to tell.
                if v_refunded_at is not null and v_error like 'missing_customer:%' then
                    v_outcome := 'refunded';
                    v_error := null;
                end if;
            end if;
        else
            v_error := null;
            if v_is_other_price then
                v_error := nullif(
                    concat_ws('; ', dispatch.price_difference(v_object), v_left_out), ''
                );
            end if;
            if v_refunded_at is not null and dispatch.governs_all() then
                perform dispatch.record_event(
                    r.id, r.session_type, r.plan_code, r.created_at,
                    'request_cancelled', array['customer:' || v_customer_id],
                    '{"reason": "refunded"}'
                )
                from dispatch.requests as r
                where r.id = v_booked_id;
            end if;
        end if;
    elsif
        v_outcome not in ('ignored', 'waiting_for_payment', 'payment_failed', 'duplicate')
        or (v_outcome = 'ignored' and v_subject = v_payment)
    then
        select s.outcome, s.request_id, s.error into v_outcome, v_booked_id, v_error
        from dispatch.settle_payment(p_event, v_is_new, v_outcome) as s;
    end if;

    -- It went another way than its type promised, or was tried again after an error.
    if
        not v_is_new or v_error is not null
        or v_outcome not in ('request_created', 'ignored', 'waiting_for_payment', 'payment_failed')
    then
        update dispatch.stripe_events
        set
            processed_at = case when v_outcome <> 'error' then now() end,
            outcome = v_outcome,
            error = v_error,
            request_id = v_booked_id,
            subject = case when v_error is not null then v_object ->> 'id' else v_subject end
        where id = v_id;
    end if;

    return jsonb_build_object(
        'outcome', v_outcome,
        'request_id', v_booked_id,
        'created', v_outcome = 'request_created'
    );
end;
$$;

comment on function dispatch.process_stripe_event(jsonb) is 'Behind public.process_stripe_event.';
revoke all on function dispatch.process_stripe_event(jsonb)
from public, anon, authenticated, service_role;
grant execute on function dispatch.process_stripe_event(jsonb) to service_role;
