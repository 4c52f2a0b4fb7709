-- Changes public.session_requests.
-- On a marketplace that was there first: its row has the three columns for the wish that Stripe's
-- metadata has, and no more.
create or replace function dispatch.book_theirs(
    p_id uuid,
    p_customer_id uuid,
    p_checkout jsonb,
    p_refunded_at timestamptz default null,
    out booked_id uuid,
    out left_out text
)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_metadata jsonb := p_checkout -> 'metadata';
    v_plan dispatch.plans;
    v_wanted_ids uuid[];
    v_known_ids uuid[];
    v_minutes integer;
    v_skipped jsonb;
    v_extras constant jsonb := jsonb_strip_nulls(jsonb_build_object(
        'customer_name', p_checkout #> '{customer_details,name}',
        'customer_email', p_checkout #> '{customer_details,email}',
        'notes', v_metadata -> 'notes',
        'requested_brand', v_metadata -> 'requested_brand',
        'customer_country', coalesce(
            v_metadata -> 'customer_country', p_checkout #> '{customer_details,address,country}'
        ),
        'customer_city', coalesce(
            v_metadata -> 'customer_city', p_checkout #> '{customer_details,address,city}'
        )
    ));
    -- What is not paid may be refused for its notes, which whoever wrote them can write anew, and for
    -- its e-mail, by which theirs may say who books for nothing, and how often.
    v_may_go constant text[] := array(
        select e.key from jsonb_each(v_extras) as e
        where p_checkout ? 'id' or e.key = 'customer_name'
    );
    v_since constant timestamptz := clock_timestamp();
    v_without text[];
    v_told jsonb;
    v_refusal text;
    v_is_booked boolean;
begin
    select * into v_plan from dispatch.plans as p where p.code = v_metadata ->> 'plan_code';
    if v_plan.code is null then
        return;
    end if;
    if
        v_metadata ->> 'routing_type' = 'priority_broadcast' and p_refunded_at is null
        and dispatch.favorites_priority_enabled()
    then
        -- Nobody's id is not written: a column that was theirs before may have a foreign key.
        v_wanted_ids := dispatch.wished_mechanics(v_metadata);
        select
            array_agg(w.id order by w.number) filter (where m.id is not null),
            jsonb_agg(
                jsonb_build_object('mechanic_id', w.id, 'reason', 'unknown_mechanic')
                order by w.number
            ) filter (where m.id is null)
        into v_known_ids, v_skipped
        from unnest(v_wanted_ids) with ordinality as w (id, number)
        left join dispatch.mechanics as m on m.id = w.id;
        -- For dispatch.route_request, as their row has a column for the first alone.
        insert into dispatch.steps (request_id, turn, mechanic_id, window_minutes)
        select p_id, w.number, w.id, 0
        from unnest(v_known_ids) with ordinality as w (id, number)
        where w.number > 1;
        -- What is no length is none: dispatch.route_request says so.
        v_minutes := case
            when v_known_ids is null then null
            when v_metadata ->> 'priority_window_minutes' ~ '^[0-9]{1,9}$'
                then (v_metadata ->> 'priority_window_minutes')::integer
            when v_metadata ->> 'priority_window_minutes' is not null then 0
        end;
        if v_metadata ->> 'skip_if_offline' = 'true' then
            perform dispatch.note_routing(p_id, 'skip_if_offline');
        end if;
    end if;
    -- What a column of theirs does not take (it is too long, no such country) keeps nobody from what
    -- they paid: it is left out, alone if that is enough, else with all that may be. What is refused
    -- for another reason (a trigger raises, it may be there once alone) is the owner's to decide. Nor
    -- for long, as the webhook app's time would end before the ledger has the reason.
    for v_number in 0 .. cardinality(v_may_go) + 1 loop
        v_without := case
            when v_number <= cardinality(v_may_go) then v_may_go[v_number:v_number]
            else v_may_go
        end;
        v_told := v_extras - v_without;
        begin
            v_is_booked := dispatch.insert_request(
                p_id,
                p_customer_id,
                coalesce(v_plan.session_type, v_metadata ->> 'session_type'),
                v_plan.code,
                case when p_refunded_at is null then 'pending' else 'cancelled' end,
                v_told ->> 'customer_name',
                v_told ->> 'customer_email',
                v_told ->> 'notes',
                v_told ->> 'requested_brand',
                v_told ->> 'customer_country',
                v_told ->> 'customer_city',
                p_preferred_mechanic_id => v_known_ids[1],
                p_priority_window_minutes => v_minutes
            );
            -- Here, so that what is refused at the commit is left out as well.
            perform dispatch.ask_deferred();
            exit;
        exception
            when assert_failure or others then
                if
                    v_number > cardinality(v_may_go)
                    or clock_timestamp() > v_since + interval '1 second'
                    or not (left(sqlstate, 2) = '22' or sqlstate in ('23503', '23514'))
                then
                    raise;
                end if;
                v_refusal := coalesce(v_refusal, sqlstate || ' ' || left(sqlerrm, 300));
        end;
    end loop;
    if not v_is_booked then
        return;
    end if;
    if v_skipped is not null then
        perform dispatch.log_skipped(dispatch.as_request(s), v_skipped)
        from public.session_requests as s
        where s.id = p_id;
    end if;
    booked_id := p_id;
    if v_refusal is not null then
        left_out := format(
            'left_out: %s, refused by the marketplace (%s); write it into the request or let it be, '
            'then set error = null',
            array_to_string(v_without, ', '), v_refusal
        );
        -- Without their words, which may name somebody.
        raise log 'request %: left out %, refused with %', p_id, v_without, left(v_refusal, 5);
    end if;
end;
$$;

comment on function dispatch.book_theirs(uuid, uuid, jsonb, timestamptz) is
'Books a Checkout Session (or what has its metadata and customer_details) on a marketplace that '
'was there first; one that was refunded is booked as cancelled. Returns its id (null: there is no '
'such plan, or a trigger kept the row out), and what the marketplace refused of it and was left '
'out (null: nothing). What theirs check at the commit is asked.';
revoke all on function dispatch.book_theirs(uuid, uuid, jsonb, timestamptz)
from public, anon, authenticated, service_role;
