-- Makes what depends on which columns session_requests has: a marketplace that was there first
-- lacks some of ours, and before the feature the three of the window are in none.
create or replace function dispatch.bind_requests(p_with_windows boolean)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_ours constant boolean := dispatch.governs_all();
    v_of_row text;
    v_of_view text;
    v_column jsonb;
    -- In a trigger it is null (before a write what is stored, from PostgreSQL 18 on what is not, at
    -- all times): computed by the table's own expression.
    v_computed text;
    v_inserted text;
    v_values text;
    -- Where theirs keeps the time of the accept: "accepted_at = %s"; else nothing.
    v_accepted text;
    -- How an accepted one is made pending where its end moves along; else nothing.
    v_lives text;
    v_function record;
begin
    select
        string_agg(c.of_row, E',\n        ' order by c.number),
        string_agg(coalesce(c.of_view, c.of_row) || ' as ' || c.name, E',\n    ' order by c.number),
        jsonb_object_agg(c.name, c.of_row)
    into v_of_row, v_of_view, v_column
    from dispatch.request_columns(p_with_windows) as c;

    select string_agg(format('%L, %s', a.attname, pg_get_expr(d.adbin, d.adrelid)), ', ')
    into v_computed
    from pg_catalog.pg_attribute as a
    inner join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where
        a.attrelid = 'public.session_requests'::regclass and not a.attisdropped
        and a.attgenerated <> '' and strpos(v_of_row, 'r.' || quote_ident(a.attname)) > 0;

    -- A booking fills what there is of these. (Their triggers run with the search_path of what writes,
    -- and most name no schema: so public and extensions are in it wherever the engine writes.)
    select
        string_agg(c.name, ', ' order by c.number),
        string_agg(
            -- What is not known of a booking may have to be what it is where nobody says it.
            case
                when
                    c.number > 5 and (a.attnotnull or y.typnotnull)
                    and coalesce(d.adbin, y.typdefaultbin) is not null
                    then format(
                        'coalesce(%s, %s)',
                        v.given,
                        coalesce(
                            pg_get_expr(d.adbin, d.adrelid), pg_get_expr(y.typdefaultbin, 0)
                        )
                    )
                else v.given
            end,
            ', ' order by c.number
        )
    into v_inserted, v_values
    from (
        values
        (1, 'id', 'uuid'),
        (2, 'customer_id', 'uuid'),
        (3, 'session_type', 'text'),
        (4, 'plan_code', 'text'),
        (5, 'status', 'text'),
        (6, 'customer_name', 'text'),
        (7, 'customer_email', 'text'),
        (8, 'notes', 'text'),
        (9, 'requested_brand', 'text'),
        (10, 'customer_country', 'text'),
        (11, 'customer_city', 'text'),
        -- Theirs is theirs, if there is one.
        (12, case when v_is_ours then 'metadata' end, 'jsonb'),
        (13, case when p_with_windows then 'preferred_mechanic_id' end, 'uuid'),
        (14, case when p_with_windows then 'priority_window_minutes' end, 'integer')
    ) as c (number, name, type)
    inner join pg_catalog.pg_attribute as a
        on
            a.attrelid = 'public.session_requests'::regclass
            and a.attname = c.name and not a.attisdropped
            -- What they compute is theirs to compute.
            and a.attgenerated = ''
    inner join pg_catalog.pg_type as y on y.oid = a.atttypid
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    cross join lateral (
        select
            case
                -- An explicit cast to varchar(n) would cut off without a word.
                when a.atttypid = c.type::regtype or y.typcategory = 'S' then 'p_' || c.name
                -- Of what a customer or Stripe wrote (a country) nobody is kept from what they paid.
                when c.number between 6 and 11
                    then format(
                        'case when p_%1$s = any(enum_range(null::%2$s)::text[]) then p_%1$s::%3$s end',
                        c.name,
                        format_type(coalesce(nullif(y.typbasetype, 0), y.oid), null),
                        format_type(a.atttypid, a.atttypmod)
                    )
                else 'p_' || c.name || '::' || format_type(a.atttypid, a.atttypmod)
            end as given
    ) as v
    where c.number not between 6 and 11 or y.typcategory in ('S', 'E');

    -- Locked for update, the request comes first, as by a writer, whose trigger then comes to its
    -- window. With tables that inherit theirs (which have no trigger) it would come last.
    perform dispatch.make_anew(
        format(
            $f$
create or replace view dispatch.requests as select %s from %s as r%s;
comment on view dispatch.requests is
'The requests that the engine governs, whatever columns the marketplace''s table has: all of ours; '
'of another''s those for which a priority window was opened. status and session_type are text, '
'mechanic_user_id is who took it, preferred_user_id the favourite, announced_at when it was '
'broadcast to everyone.';
revoke all on dispatch.requests from public, anon, authenticated, service_role;
            $f$,
            v_of_view,
            case
                when v_is_ours then 'public.session_requests'
                else 'only public.session_requests'
            end,
            case
                when v_is_ours then ''
                else ' inner join dispatch.windows as w on w.request_id = r.id'
            end
        )
    );

    -- (Of any table: see dispatch.shown_request.)
    perform dispatch.make_anew(
        format(
            $f$
create or replace function dispatch.as_request(r anyelement)
returns dispatch.requests
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as %L;
comment on function dispatch.as_request(anyelement) is
'A row of session_requests, as a trigger has it, in the form of dispatch.requests.';
revoke all on function dispatch.as_request(anyelement)
from public, anon, authenticated, service_role;
            $f$,
            format(
                -- (With the cast, as without one each call would fit the row to the type anew.)
                E'\n-- @plpgsql_check_options: anyelementtype = public.session_requests\n'
                '%sbegin\n%s    return row(\n        %s\n    )::dispatch.requests;\nend;\n',
                case when v_computed <> '' then E'#variable_conflict use_column\n' end,
                E'    r := jsonb_populate_record(\n        r, (select jsonb_build_object('
                || v_computed || E') from (select (r).*) as x)\n    );\n',
                v_of_row
            )
        )
    );

    -- A policy asks for the caller. Of another user (whom a push goes to) it is asked as that one,
    -- and going back puts back whoever the caller claimed to be.
    perform dispatch.make_anew(
        format(
            $f$
create or replace function dispatch.is_open_to(p_request_id uuid, p_user_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as %L;
comment on function dispatch.is_open_to(uuid, uuid) is
'Whether the marketplace''s own rule (dispatch.open_to) lets this approved mechanic take a request '
'that is pending and not reserved.';
revoke all on function dispatch.is_open_to(uuid, uuid)
from public, anon, authenticated, service_role;
            $f$,
            format(
                E'\n#variable_conflict use_column\n'
                'declare\n'
                '    v_is_other constant boolean := dispatch.caller_id() is distinct from p_user_id;\n'
                '    v_is_open boolean;\nbegin\n'
                '    if v_is_other then\n'
                '        perform dispatch.claim_to_be(is_open_to.p_user_id);\n'
                '    end if;\n'
                '    v_is_open := exists (\n'
                '        select from public.session_requests\n'
                '        where session_requests.id = is_open_to.p_request_id and (%s) is true\n'
                '    );\n'
                '    if v_is_other then\n'
                '        raise sqlstate ''FP000'';\n'
                '    end if;\n'
                '    return v_is_open;\n'
                'exception\n'
                '    when sqlstate ''FP000'' then return v_is_open;\n'
                '    -- Whoever a policy fails for is shown nothing by it.\n'
                '    when assert_failure or others then return false;\n'
                'end;\n',
                dispatch.open_to()
            )
        )
    );

    perform dispatch.make_anew(
        format(
            $f$
create or replace function dispatch.insert_request(
    p_id uuid,
    p_customer_id uuid,
    p_session_type text,
    p_plan_code text,
    p_status text,
    p_customer_name text default null,
    p_customer_email text default null,
    p_notes text default null,
    p_requested_brand text default null,
    p_customer_country text default null,
    p_customer_city text default null,
    p_metadata jsonb default '{}',
    p_preferred_mechanic_id uuid default null,
    p_priority_window_minutes integer default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as %L;
comment on function dispatch.insert_request(
    uuid, uuid, text, text, text, text, text, text, text, text, text, jsonb, uuid, integer
) is
'Books: inserts a request, as far as the marketplace has columns for it. Returns whether it is '
'there; the marketplace may refuse it, with an error or (a trigger) without.';
revoke all on function dispatch.insert_request(
    uuid, uuid, text, text, text, text, text, text, text, text, text, jsonb, uuid, integer
) from public, anon, authenticated, service_role;
            $f$,
            format(
                E'\n#variable_conflict use_variable\n'
                'begin\n    insert into public.session_requests (%s)\n    values (%s);\n%s'
                '    return found;\nend;\n',
                v_inserted,
                v_values,
                -- Whoever paid is told by the id, and Stripe's next events find the request by it.
                case
                    when not v_is_ours
                        then
                            E'    if found and not exists (\n'
                            '        select from public.session_requests as r where r.id = p_id\n'
                            '    ) then\n'
                            '        raise integrity_constraint_violation using\n'
                            '            message = ''a trigger gave the booking another id'';\n'
                            '    end if;\n'
                    else ''
                end
            )
        )
    );

    v_accepted := coalesce(
        (
            select
                ', accepted_at = %s'
                -- As it is read.
                || case
                    when coalesce(nullif(x.typbasetype, 0), x.oid) = 'timestamp'::regtype
                        then '::timestamptz at time zone ''UTC'''
                    else ''
                end
            from pg_catalog.pg_attribute as a
            inner join pg_catalog.pg_type as x on x.oid = a.atttypid
            where
                a.attrelid = 'public.session_requests'::regclass
                and a.attname = 'accepted_at' and a.attgenerated = ''
                and coalesce(nullif(x.typbasetype, 0), x.oid)
                in ('timestamptz'::regtype, 'timestamp'::regtype)
        ),
        ''
    );
    -- It lives as long after this broadcast as after the one before, if that is not theirs alone to
    -- say. In one UPDATE: for a second one of a row a transaction asks each of its foreign keys anew,
    -- and would wait for whoever deletes what it points to, who waits for the row.
    v_lives := case
        when
            not v_is_ours and v_column ->> 'expires_at' <> 'null::timestamptz'
            and exists (
                select from pg_catalog.pg_attribute as a
                where
                    a.attrelid = 'public.session_requests'::regclass
                    and a.attname = 'expires_at' and a.attgenerated = ''
            )
            then
                E'    begin\n'
                '        update public.session_requests\n'
                '        set status = ''pending'', mechanic_id = null%s, expires_at = expires_at + (\n'
                '            select now() - coalesce(w.announced_at, w.ends_at)\n'
                '            from dispatch.windows as w where w.request_id = p_id\n'
                '        )\n'
                '        where id = p_id and status = ''accepted''\n'
                '        returning * into v_request;\n'
                '        perform dispatch.ask_deferred();\n'
                '        return v_request;\n'
                '    exception\n'
                '        -- Some trigger of theirs does not let it: the rest must not wait for that.\n'
                '        when assert_failure or others then\n'
                '            raise warning ''the expiry of request %% was not moved: %%'', p_id, sqlerrm;\n'
                '    end;\n'
        else ''
    end;
    perform dispatch.make_anew(
        format(
            $f$
create or replace function dispatch.assign_request(p_id uuid, p_mechanic_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as %L;
comment on function dispatch.assign_request(uuid, uuid) is
'On a marketplace that was there first: accepts a pending request for this mechanic (the id that '
'the marketplace keeps). Returns the row; nulls: there was none to write.';
revoke all on function dispatch.assign_request(uuid, uuid)
from public, anon, authenticated, service_role;
            $f$,
            format(
                E'\n#variable_conflict use_variable\n'
                'declare\n    v_request public.session_requests;\nbegin\n'
                '    update public.session_requests\n'
                '    set status = ''accepted'', mechanic_id = p_mechanic_id%s\n'
                '    where id = p_id and status = ''pending''\n'
                '    returning * into v_request;\n'
                '    return v_request;\nend;\n',
                format(v_accepted, 'now()')
            )
        )
    );

    perform dispatch.make_anew(
        format(
            $f$
create or replace function dispatch.unassign_request(p_id uuid)
returns public.session_requests
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as %L;
comment on function dispatch.unassign_request(uuid) is
'Makes an accepted request pending again, with no mechanic; one of another''s lives on from now. '
'Returns the row; nulls: there was none to write.';
revoke all on function dispatch.unassign_request(uuid)
from public, anon, authenticated, service_role;
            $f$,
            format(
                E'\n#variable_conflict use_variable\n'
                'declare\n    v_request public.session_requests;\nbegin\n%s'
                '    update public.session_requests\n'
                '    set status = ''pending'', mechanic_id = null%s\n'
                '    where id = p_id and status = ''accepted''\n'
                '    returning * into v_request;\n'
                '    return v_request;\nend;\n',
                format(v_lives, format(v_accepted, 'null')),
                format(v_accepted, 'null')
            )
        )
    );

    -- Ours keeps the payment with the request; for another's the ledger does.
    perform dispatch.make_anew(
        format(
            $f$
create or replace view dispatch.payments as %s;
comment on view dispatch.payments is
'The Stripe payment of each request that was paid by one, and what was paid.';
revoke all on dispatch.payments from public, anon, authenticated, service_role;
            $f$,
            case
                when v_is_ours
                    then $v$
            select
                r.id as request_id,
                r.metadata ->> 'stripe_checkout_session_id' as checkout_session_id,
                r.metadata ->> 'stripe_payment_intent' as payment_intent,
                r.metadata ? 'refunded_at' as is_refunded,
                r.status = 'expired' as is_expired,
                r.expires_at,
                r.status = 'cancelled' as is_cancelled,
                r.status = 'accepted' as is_accepted,
                r.mechanic_id,
                r.customer_id,
                r.updated_at as changed_at,
                r.metadata -> 'amount_total' as amount_total,
                r.metadata ->> 'currency' as currency
            from public.session_requests as r
                    $v$
                else format(
                    $v$
            select
                e.request_id,
                e.payload #>> '{data,object,id}' as checkout_session_id,
                e.payload #>> '{data,object,payment_intent}' as payment_intent,
                exists (
                    select from dispatch.stripe_events as f
                    where
                        f.outcome in ('refunded', 'dispute_lost') and f.subject is not null
                        and f.subject = (e.payload #>> '{data,object,payment_intent}')
                ) as is_refunded,
                %1$s = 'expired' as is_expired,
                %2$s as expires_at,
                %1$s = 'cancelled' as is_cancelled,
                %1$s = 'accepted' as is_accepted,
                r.mechanic_id::uuid as mechanic_id,
                %3$s as customer_id,
                coalesce(%4$s, e.received_at) as changed_at,
                e.payload #> '{data,object,amount_total}' as amount_total,
                e.payload #>> '{data,object,currency}' as currency
            from dispatch.stripe_events as e
            inner join public.session_requests as r on r.id = e.request_id
            where e.outcome = 'request_created'
                    $v$,
                    v_column ->> 'status',
                    v_column ->> 'expires_at',
                    v_column ->> 'customer_id',
                    v_column ->> 'accepted_at'
                )
            end
        )
    );

    -- So that verify sees it if another body stands there some day.
    for v_function in
        select p.oid::regprocedure as signature, obj_description(p.oid, 'pg_proc') as description,
            md5(btrim(regexp_replace(p.prosrc, '\s+', ' ', 'g'))) as body
        from pg_catalog.pg_proc as p
        where
            p.pronamespace = 'dispatch'::regnamespace
            and p.proname in (
                'as_request', 'is_open_to', 'insert_request', 'assign_request', 'unassign_request'
            )
    loop
        perform dispatch.make_anew(
            format(
                'comment on function %s is %L',
                v_function.signature,
                format('%s {"body": "%s"}', v_function.description, v_function.body)
            )
        );
    end loop;
    perform dispatch.note_views();
end;
$$;

comment on function dispatch.bind_requests(boolean) is
'Makes the views dispatch.requests and dispatch.payments and the functions dispatch.as_request, '
'dispatch.is_open_to, dispatch.insert_request, dispatch.assign_request and '
'dispatch.unassign_request for the columns that session_requests has; those of the priority '
'window only if p_with_windows. up.sql and down.sql call it.';
revoke all on function dispatch.bind_requests(boolean)
from public, anon, authenticated, service_role;
