-- The binding: what the engine reads the marketplace through. Every other part is built on it.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'binding ' || w.name as check_name,
        bool_and(coalesce(a.atttypid = to_regtype(split_part(n.text, ' ', 2)), false)) as ok,
        coalesce(
            'missing or of another type: '
            || string_agg(split_part(n.text, ' ', 1), ', ')
            filter (
                where a.atttypid is distinct from to_regtype(split_part(n.text, ' ', 2))
            )
            || ' (run sql/engine/up.sql)',
            count(*) || ' columns'
        ) as detail
    from (
        values
        (
            'dispatch.mechanics',
            'id uuid, user_id uuid, display_name text, is_approved boolean, is_online boolean, '
            'last_seen_at timestamptz, brands text[], city text, country text'
        ),
        (
            'dispatch.plans',
            'code text, title text, session_type text, price_cents integer, currency text, '
            'is_active boolean'
        ),
        ('dispatch.favorites', 'customer_id uuid, mechanic_id uuid, favorited_at timestamptz'),
        (
            'dispatch.requests',
            'id uuid, created_at timestamptz, customer_id uuid, mechanic_user_id uuid, '
            'session_type text, plan_code text, status text, is_pending boolean, '
            'accepted_at timestamptz, ended_at timestamptz, expires_at timestamptz, '
            'requested_brand text, customer_city text, customer_country text, '
            'preferred_mechanic_id uuid, preferred_user_id uuid, window_minutes integer, '
            'window_began_at timestamptz, '
            'window_ends_at timestamptz, announced_at timestamptz'
        ),
        (
            'dispatch.payments',
            'request_id uuid, checkout_session_id text, payment_intent text, is_refunded boolean, '
            'is_expired boolean, expires_at timestamptz, is_cancelled boolean, '
            'is_accepted boolean, mechanic_id uuid, customer_id uuid, '
            'changed_at timestamptz, amount_total jsonb, currency text'
        )
    ) as w (name, columns)
    cross join unnest(string_to_array(w.columns, ', ')) as n (text)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass(w.name) and a.attname = split_part(n.text, ' ', 1)
            and not a.attisdropped
    group by w.name
    union all
    select
        'binding dispatch.' || w.name,
        coalesce(p.prorettype = to_regtype(w.type) and p.provolatile = 'i', false),
        coalesce(
            pg_get_function_result(p.oid)
            || case when p.provolatile <> 'i' then ', not immutable' end,
            pg_get_function_result(p.oid),
            'missing: run sql/engine/up.sql with the binding'
        )
    from (
        values
        ('governs_all', 'boolean'),
        ('assigns_user_id', 'boolean'),
        ('approval_columns', 'text[]'),
        ('feed_is_private', 'boolean')
    ) as w (name, type)
    left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(format('dispatch.%I()', w.name))
) as c
\gset

-- What the marketplace has no column for goes through the views all the same.
\if :governs_all
\else
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'trigger ' || w.name as check_name,
        coalesce(t.tgenabled in ('O', 'A'), not w.is_needed) as ok,
        case
            when t.tgenabled in ('O', 'A') then 'enabled on ' || w.relation
            when t.oid is not null then 'disabled: alter table … enable trigger …'
            when w.is_needed then 'missing: run sql/engine/up.sql'
            else 'not needed: ' || w.relation || ' takes updates'
        end as detail
    from (
        values
        (
            'mechanics_remember_presence', 'dispatch.mechanics',
            not pg_column_is_updatable(
                to_regclass('dispatch.mechanics'),
                (
                    select a.attnum from pg_catalog.pg_attribute as a
                    where
                        a.attrelid = to_regclass('dispatch.mechanics')
                        and a.attname = 'is_online'
                ),
                false
            )
        ),
        ('requests_announce', 'dispatch.requests', true)
    ) as w (name, relation, is_needed)
    left join pg_catalog.pg_trigger as t
        on t.tgname = w.name and t.tgrelid = to_regclass(w.relation)
) as c
\gset
\endif

-- The schema: its tables, closed to every client, and its functions open to whom they must be.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'schema dispatch' as check_name,
        coalesce(
            n.oid is not null
            and has_schema_privilege('authenticated', n.oid, 'usage')
            and has_schema_privilege('service_role', n.oid, 'usage')
            and not has_schema_privilege('anon', n.oid, 'usage')
            and not has_schema_privilege('authenticated', n.oid, 'create')
            and not has_schema_privilege('service_role', n.oid, 'create'),
            false
        ) as ok,
        case
            when n.oid is null then 'missing: run sql/engine/up.sql'
            else
                'usage: ' || coalesce(
                    (
                        select string_agg(r.role, ', ' order by r.role)
                        from unnest(array['anon', 'authenticated', 'service_role']) as r (role)
                        where has_schema_privilege(r.role, n.oid, 'usage')
                    ),
                    'nobody'
                ) || ' (see sql/engine/schemas.sql)'
        end as detail
    from (select to_regnamespace('dispatch') as oid) as n
    union all
    select
        'tables of dispatch',
        coalesce(
            string_agg(c.relname, ', ' order by c.relname)
            = 'devices, found_before, presence, pushes, request_events, stripe_events, windows',
            false
        ),
        coalesce(string_agg(c.relname, ', ' order by c.relname), 'none: run sql/engine/up.sql')
    from pg_catalog.pg_class as c
    where
        c.relnamespace = to_regnamespace('dispatch') and c.relkind in ('r', 'p', 'f', 'm')
    union all
    select
        'row level security in dispatch',
        count(*) filter (where not c.relrowsecurity) = 0,
        coalesce(
            'off: ' || string_agg(c.relname, ', ' order by c.relname)
            filter (where not c.relrowsecurity)
            || ' (alter table dispatch.… enable row level security)',
            'on for ' || count(*)
        )
    from pg_catalog.pg_class as c
    where c.relnamespace = to_regnamespace('dispatch') and c.relkind in ('r', 'p')
    union all
    select
        'grants in dispatch',
        count(g.oid) = 0,
        coalesce(
            'open: ' || string_agg(g.relname || ' to ' || g.role, ', ' order by g.relname, g.role)
            || ' (run sql/engine/up.sql)',
            'no table, view or sequence is open to a client'
        )
    from (
        select
            c.oid,
            c.relname,
            r.role
        from pg_catalog.pg_class as c
        cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role)
        where
            c.relnamespace = to_regnamespace('dispatch')
            and case
                when c.relkind = 'S'
                    then has_sequence_privilege(r.role, c.oid, 'usage, select, update')
                when c.relkind in ('r', 'p', 'v', 'm', 'f')
                    then
                        has_any_column_privilege(
                            r.role, c.oid, 'select, insert, update, references'
                        )
                        or has_table_privilege(r.role, c.oid, 'delete, truncate, trigger')
            end
    ) as g
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'table dispatch.' || w.name as check_name,
        bool_and(coalesce(a.atttypid = to_regtype(split_part(n.text, ' ', 2)), false)) as ok,
        coalesce(
            'missing or of another type: '
            || string_agg(split_part(n.text, ' ', 1), ', ')
            filter (
                where a.atttypid is distinct from to_regtype(split_part(n.text, ' ', 2))
            ),
            count(*) || ' columns'
        ) as detail
    from (
        values
        (
            'request_events',
            'id bigint, request_id uuid, event text, actor_id uuid, topics text[], payload jsonb, '
            'created_at timestamptz, delivered_at timestamptz'
        ),
        (
            'stripe_events',
            'id text, type text, payload jsonb, received_at timestamptz, processed_at timestamptz, '
            'outcome text, error text, request_id uuid, subject text, '
            'scrubbed_at timestamptz'
        ),
        (
            'windows',
            'request_id uuid, ends_at timestamptz, announced_at timestamptz, closed_at timestamptz'
        ),
        ('presence', 'mechanic_id uuid, is_online boolean, last_seen_at timestamptz'),
        (
            'devices',
            'endpoint text, user_id uuid, p256dh text, auth text, registered_at timestamptz'
        ),
        (
            'pushes',
            'id bigint, event_id bigint, request_id uuid, user_id uuid, endpoint text, '
            'is_reminder boolean, due_at timestamptz, expires_at timestamptz, attempts integer, '
            'finished_at timestamptz, outcome text, status integer'
        ),
        ('found_before', 'what text')
    ) as w (name, columns)
    cross join unnest(string_to_array(w.columns, ', ')) as n (text)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass('dispatch.' || w.name)
            and a.attname = split_part(n.text, ' ', 1) and not a.attisdropped
    group by w.name
    union all
    select
        'key of dispatch.' || w.name,
        coalesce(i.indisvalid and i.indisunique and i.indpred is null, false),
        coalesce(pg_get_constraintdef(k.oid), 'missing: a row may be there twice')
    from (
        values
        ('request_events', 'id'),
        ('stripe_events', 'id'),
        ('windows', 'request_id'),
        ('presence', 'mechanic_id'),
        ('devices', 'endpoint'),
        ('pushes', 'id'),
        ('found_before', 'what')
    ) as w (name, key)
    left join pg_catalog.pg_constraint as k
        on
            k.conrelid = to_regclass('dispatch.' || w.name) and k.contype = 'p'
            and pg_get_constraintdef(k.oid) = 'PRIMARY KEY (' || w.key || ')'
    left join pg_catalog.pg_index as i on i.indexrelid = k.conindid
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not i.indisvalid then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'dispatch.request_events_declined_idx', false,
            'request_id, actor_id WHERE event = ''request_declined''::text'
        ),
        ('dispatch.request_events_first_topic_idx', false, 'topics[1], id'),
        (
            'dispatch.request_events_undelivered_idx', false,
            'delivered_at, id WHERE delivered_at IS NULL'
        ),
        (
            'dispatch.stripe_events_unprocessed_idx', false,
            'received_at WHERE processed_at IS NULL'
        ),
        ('dispatch.stripe_events_received_at_idx', false, 'received_at'),
        ('dispatch.devices_user_id_idx', false, 'user_id, registered_at'),
        ('dispatch.pushes_due_idx', false, 'due_at, id WHERE finished_at IS NULL'),
        (
            'dispatch.pushes_unaddressed_idx', false,
            'due_at WHERE finished_at IS NULL AND endpoint IS NULL'
        ),
        ('dispatch.pushes_event_id_idx', false, 'event_id WHERE finished_at IS NULL'),
        (
            'dispatch.pushes_finished_at_idx', false,
            'finished_at WHERE finished_at IS NOT NULL'
        ),
        (
            'dispatch.stripe_events_subject_idx', false,
            'outcome, subject WHERE subject IS NOT NULL'
        ),
        (
            'dispatch.windows_ends_at_idx', false,
            'ends_at WHERE announced_at IS NULL AND closed_at IS NULL'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset

\if :governs_all
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not i.indisvalid then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'public.mechanics_matches_idx', false,
            'gin dispatch.mechanic_wordsid, is_online, brands, city, country '
            'WITH fastupdate=off WHERE status = ''approved''::text'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset
\else
-- One Checkout Session is one request because of the first.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not i.indisvalid then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'dispatch.stripe_events_checkout_key', true,
            'payload #>> ''{data,object,id}''::text[] WHERE outcome = ''request_created''::text'
        ),
        (
            'dispatch.stripe_events_payment_idx', false,
            'payload #>> ''{data,object,payment_intent}''::text[] '
            'WHERE outcome = ''request_created''::text'
        ),
        (
            'dispatch.stripe_events_request_id_idx', false,
            'request_id WHERE outcome = ''request_created''::text'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset
\endif

-- Every function: its owner, a fixed search_path, nothing for PUBLIC or anon.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'owner of the functions' as check_name,
        count(*) > 0 and count(*) filter (where p.proowner <> n.nspowner) = 0 as ok,
        coalesce(
            'another''s: '
            || string_agg(p.oid::regprocedure::text, ', ') filter (where p.proowner <> n.nspowner),
            count(*) || ' belong to the owner of dispatch'
        ) as detail
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'dispatch'
    union all
    select
        'search_path of the functions',
        count(*) filter (where x.is_open) = 0,
        coalesce(
            'not pg_catalog, pg_temp: ' || string_agg(x.signature, ', ') filter (where x.is_open),
            'pg_catalog, pg_temp in all'
        )
    from (
        select
            p.oid::regprocedure::text as signature,
            not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false) as is_open
        from pg_catalog.pg_proc as p
        where p.pronamespace = to_regnamespace('dispatch')
    ) as x
) as c
\gset

-- Exactly these functions run as their owner, and exactly these may be called by clients: one too
-- many opens the event log, one too few breaks an RPC. PUBLIC's grants count as anon's. A function
-- that is said to be stable and writes fails; one that only reads and is volatile is not planned
-- once for a whole query. (The feature opens is_reserved_for_another where it needs that.)
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        w.check_name,
        coalesce(bool_and(f.wanted = f.found), false) as ok,
        coalesce(
            nullif(
                concat_ws(
                    '; ',
                    'missing: ' || string_agg(f.name, ', ' order by f.name)
                    filter (where f.wanted and not f.found),
                    'unexpected: ' || string_agg(f.name, ', ' order by f.name)
                    filter (where f.found and not f.wanted)
                ),
                ''
            ),
            count(*) filter (where f.wanted) || ', exactly as expected'
        ) as detail
    from (
        values
        (
            'security definer functions', 'definer',
            array[
                'accept_request', 'acknowledge_event', 'add_device', 'broadcast_request_now',
                'cancel_request', 'checkout_status', 'complete_request', 'create_free_request',
                'decline_request', 'first_event_id_since', 'get_request_by_checkout',
                'get_request_timeline', 'guard_request', 'guard_reservation', 'health',
                'is_reserved_for_another', 'list_favorites', 'list_open_requests',
                'list_payments', 'list_request_events', 'log_new_request', 'log_request_change',
                'log_window', 'make_checkout', 'may_see_request', 'may_use_topic',
                'mechanic_status', 'process_stripe_event', 'record_answers', 'release_windows',
                'remove_device', 'route_request', 'set_mechanic_presence', 'take_pushes'
            ]
        ),
        ('functions open to anon', 'anon', array['mechanic_words']),
        (
            'functions open to authenticated', 'authenticated',
            array[
                'accept_request', 'acknowledge_event', 'add_device', 'broadcast_request_now',
                'caller_id', 'cancel_request', 'checkout_status', 'complete_request',
                'create_free_request', 'decline_request', 'get_request_by_checkout',
                'get_request_timeline', 'list_favorites', 'list_open_requests', 'list_payments',
                'list_request_events', 'make_checkout', 'may_see_request', 'may_use_topic',
                'mechanic_status', 'mechanic_words', 'remove_device', 'set_mechanic_presence'
            ]
        ),
        (
            'functions open to service_role', 'service_role',
            array[
                'mechanic_words', 'process_stripe_event', 'record_answers', 'take_pushes'
            ]
        ),
        (
            'stable functions', 'stable',
            array[
                'accepted_before', 'approved_mechanic_of', 'as_request', 'booking_error',
                'caller_id', 'checkout_status', 'choose_recipients', 'cron_waits_for_each_job',
                'explain_routing', 'fallback_reason', 'first_event_id_since',
                'get_request_by_checkout', 'get_request_timeline', 'is_approved_mechanic',
                'is_online', 'is_reserved_for_another', 'list_favorites', 'list_open_requests',
                'list_payments', 'make_checkout', 'may_see_request', 'may_use_topic',
                'mechanic_status', 'next_deadline', 'pending_windows', 'policy_fingerprints',
                'price_difference', 'priority_window', 'push_checks', 'push_is_over',
                'push_payload', 'raise_error',
                'realtime_checks', 'refusal', 'refused_output_plugins', 'request_of_checkout',
                'require_mechanic', 'require_own_request', 'require_user', 'routing_note',
                'score_match', 'silent_since', 'tidy_notes', 'unannounced_requests',
                'unsettled_requests', 'wants_priority'
            ]
        ),
        (
            'immutable functions', 'immutable',
            array[
                'approval_columns', 'assigns_user_id', 'broadcast_refusal', 'checkout_customer',
                'expected_stripe_event', 'favorites_priority_enabled', 'feed_is_private',
                'governs_all', 'is_push_endpoint', 'marketplace_error', 'match_points',
                'mechanic_words', 'not_pending', 'push_services', 'scrubbed_event',
                'shown_request', 'to_uuid', 'ways_to_match'
            ]
        )
    ) as w (check_name, kind, names)
    cross join
        lateral (
            select
                coalesce(p.proname::text, n.name) as name,
                n.name is not null as wanted,
                coalesce(
                    case w.kind
                        when 'definer' then p.prosecdef
                        when 'stable' then p.provolatile = 's'
                        when 'immutable' then p.provolatile = 'i'
                        else
                            has_function_privilege(w.kind, p.oid, 'execute')
                            and not (
                                p.proname = 'is_reserved_for_another'
                                and not current_setting('favorites_priority.governs_all')::boolean
                            )
                    end,
                    false
                ) as found
            from unnest(w.names) as n (name)
            full join (
                select f.oid, f.proname, f.prosecdef, f.provolatile
                from pg_catalog.pg_proc as f
                where f.pronamespace = to_regnamespace('dispatch')
            ) as p on p.proname = n.name
        ) as f
    group by w.check_name
) as c
\gset

-- The roles of the webhook app and of the push app, where their files were run in this database.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'role ' || w.role as check_name,
        r.oid is null or not g.is_here or (g.missing is null and g.unexpected is null) as ok,
        case
            when r.oid is null then 'there is none'
            when not g.is_here then 'has no grant in this database'
            else
                coalesce(
                    nullif(concat_ws('; ', g.missing, g.unexpected), ''),
                    'may call ' || array_to_string(w.names, ' and ') || ', and nothing else'
                )
        end as detail
    from (
        values
        (
            'webhook_app', 'webhook_role.sql', array['process_stripe_event'],
            array['public.process_stripe_event(jsonb)', 'dispatch.process_stripe_event(jsonb)']
        ),
        (
            'push_app', 'push_role.sql', array['claim_pushes', 'finish_pushes'],
            array[
                'public.claim_pushes(integer)', 'public.finish_pushes(jsonb)',
                'dispatch.take_pushes(integer,interval,timestamptz)',
                'dispatch.record_answers(jsonb,timestamptz)'
            ]
        )
    ) as w (role, file, names, signatures)
    cross join lateral (select to_regrole(w.role)::oid as oid) as r
    cross join
        lateral (
            select
                coalesce(bool_or(v.is_granted), false) as is_here,
                'missing (run sql/' || w.file || '): '
                || string_agg(v.what, ', ') filter (where not coalesce(v.is_granted, false))
                    as missing,
                'unexpected: ' || (
                    select string_agg(p.oid::regprocedure::text, ', ')
                    from pg_catalog.pg_proc as p
                    where
                        p.pronamespace = to_regnamespace('dispatch')
                        and p.proname not in ('mechanic_words', 'is_reserved_for_another')
                        and p.oid <> all(
                            array(
                                select f.oid from unnest(w.signatures) as n (signature)
                                cross join lateral (select to_regprocedure(n.signature)::oid as oid) as f
                                where f.oid is not null
                            )
                        )
                        and has_function_privilege(r.oid, p.oid, 'execute')
                ) as unexpected
            from (
                select
                    'usage on schema dispatch' as what,
                    has_schema_privilege(
                        r.oid, to_regnamespace('dispatch')::oid, 'usage'
                    ) as is_granted
                union all
                select
                    'execute on ' || split_part(n.signature, '(', 1),
                    has_function_privilege(r.oid, to_regprocedure(n.signature)::oid, 'execute')
                from unnest(w.signatures) as n (signature)
            ) as v
        ) as g
) as c
\gset

-- An exporter's role, where sql/monitor_role.sql was run in this database.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'role dispatch_monitor' as check_name,
        r.oid is null or not g.is_here or g.missing is null as ok,
        case
            when r.oid is null then 'there is none'
            when not g.is_here then 'has no grant in this database'
            else coalesce(g.missing, 'may ask dispatch.health() and dispatch.metrics')
        end as detail
    from (select to_regrole('dispatch_monitor')::oid as oid) as r
    cross join
        lateral (
            select
                coalesce(bool_or(v.is_granted), false) as is_here,
                'missing (run sql/monitor_role.sql): '
                || string_agg(v.what, ', ') filter (where not coalesce(v.is_granted, false))
                    as missing
            from (
                values
                (
                    'usage on schema dispatch',
                    has_schema_privilege(r.oid, to_regnamespace('dispatch')::oid, 'usage')
                ),
                (
                    'execute on dispatch.health',
                    has_function_privilege(
                        r.oid, to_regprocedure('dispatch.health(timestamptz,bigint)')::oid,
                        'execute'
                    )
                ),
                (
                    'execute on dispatch.first_event_id_since',
                    has_function_privilege(
                        r.oid, to_regprocedure('dispatch.first_event_id_since(timestamptz)')::oid,
                        'execute'
                    )
                ),
                (
                    'select on dispatch.metrics',
                    has_table_privilege(r.oid, to_regclass('dispatch.metrics')::oid, 'select')
                )
            ) as v (what, is_granted)
        ) as g
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'rpc ' || split_part(w.signature, '(', 1) as check_name,
        coalesce(
            not p.prosecdef and p.proconfig @> array['search_path=pg_catalog, pg_temp']
            and p.proowner = n.nspowner
            and case p.provolatile when 's' then 'reads' when 'v' then 'writes' end = w.kind
            and has_function_privilege(w.grantee, p.oid, 'execute')
            and not has_function_privilege('anon', p.oid, 'execute')
            and (
                w.grantee = 'service_role'
                or not has_function_privilege('service_role', p.oid, 'execute')
            )
            and (
                w.grantee = 'authenticated'
                or not has_function_privilege('authenticated', p.oid, 'execute')
            ),
            false
        ) as ok,
        case
            when p.oid is null then 'missing: run sql/engine/up.sql'
            else w.kind || ', for ' || w.grantee || ' alone, as its caller'
        end as detail
    from (
        values
        ('public.get_checkout_status(text)', 'authenticated', 'reads'),
        ('public.get_mechanic_status(uuid)', 'authenticated', 'reads'),
        ('public.get_session_request_by_checkout(text)', 'authenticated', 'reads'),
        ('public.list_favorite_mechanics()', 'authenticated', 'reads'),
        ('public.prepare_checkout(text,uuid,text,integer,boolean,text)', 'authenticated', 'reads'),
        ('public.request_free_session(text,uuid,text,text,uuid)', 'authenticated', 'writes'),
        ('public.cancel_session_request(uuid)', 'authenticated', 'writes'),
        ('public.broadcast_session_request_now(uuid)', 'authenticated', 'writes'),
        ('public.get_session_request_timeline(uuid)', 'authenticated', 'reads'),
        ('public.set_presence(text)', 'authenticated', 'writes'),
        ('public.list_open_session_requests()', 'authenticated', 'reads'),
        ('public.accept_session_request(uuid)', 'authenticated', 'writes'),
        ('public.decline_session_request(uuid,text)', 'authenticated', 'writes'),
        ('public.complete_session_request(uuid)', 'authenticated', 'writes'),
        ('public.list_session_request_events(bigint,integer)', 'authenticated', 'writes'),
        ('public.register_device(text,text,text)', 'authenticated', 'writes'),
        ('public.unregister_device(text)', 'authenticated', 'writes'),
        ('public.acknowledge_notice(bigint)', 'authenticated', 'writes'),
        ('public.list_session_request_payments(uuid[])', 'authenticated', 'reads'),
        ('public.process_stripe_event(jsonb)', 'service_role', 'writes'),
        ('public.claim_pushes(integer)', 'service_role', 'writes'),
        ('public.finish_pushes(jsonb)', 'service_role', 'writes')
    ) as w (signature, grantee, kind)
    left join pg_catalog.pg_namespace as n on n.nspname = 'dispatch'
    left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(w.signature)
) as c
\gset

\if :governs_all
-- Another's triggers and publication stay as they are.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'trigger ' || w.name as check_name,
        coalesce(t.tgenabled in ('O', 'A') and t.tgfoid = to_regprocedure(w.function), false) as ok,
        case
            when t.oid is null then 'missing: run sql/engine/up.sql'
            when t.tgenabled not in ('O', 'A') then 'disabled: alter table … enable trigger …'
            else t.tgfoid::regprocedure || ', enabled on session_requests'
        end as detail
    from (
        values
        ('session_requests_route', 'dispatch.route_request()'),
        ('session_requests_guard', 'dispatch.guard_request()'),
        ('session_requests_log_insert', 'dispatch.log_new_request()'),
        ('session_requests_log_update', 'dispatch.log_request_change()'),
        ('session_requests_log_delete', 'dispatch.log_request_change()')
    ) as w (name, function)
    left join pg_catalog.pg_trigger as t
        on t.tgname = w.name and t.tgrelid = to_regclass('public.session_requests')
    union all
    select
        'table changes by Realtime',
        p.oid is null or t.tablename is not null,
        case
            when p.oid is null then 'no publication supabase_realtime in this database'
            when t.tablename is null then 'not published: run sql/engine/publication.sql'
            else 'session_requests is in supabase_realtime'
        end
    from (select 'supabase_realtime'::name as pubname) as w
    left join pg_catalog.pg_publication as p on p.pubname = w.pubname
    left join pg_catalog.pg_publication_tables as t
        on
            t.pubname = w.pubname
            and t.schemaname = 'public' and t.tablename = 'session_requests'
) as c
\gset
\endif

-- Realtime is not in every database; where it is, it must send what it may, and no more.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'policy ' || w.name as check_name,
        c.oid is null or coalesce(
            c.relrowsecurity
            and p.cmd = w.command and p.permissive = w.kind and p.roles = array[w.role]
            and concat_ws(' ', p.qual, p.with_check) like w.rule,
            false
        ) as ok,
        case
            when c.oid is null then 'no realtime.messages in this database'
            when not c.relrowsecurity then 'row level security is off on realtime.messages'
            when p.policyname is null then 'missing: run sql/engine/realtime.sql'
            else
                lower(p.permissive || ', for ' || p.cmd || ' to ') || array_to_string(p.roles, ', ')
        end as detail
    from (
        values
        (
            'dispatch_topics_join', 'PERMISSIVE', 'SELECT', 'authenticated'::name,
            'dispatch.may_use_topic(''join''%realtime.topic()%extension)'
        ),
        (
            'dispatch_topics_send', 'PERMISSIVE', 'INSERT', 'authenticated',
            'dispatch.may_use_topic(''send''%realtime.topic()%extension)'
        ),
        -- On another's marketplace the feed and the presence are its own to open and close.
        (
            'dispatch_topics_only', 'RESTRICTIVE', 'ALL', 'authenticated',
            case
                when current_setting('favorites_priority.governs_all')::boolean
                    then
                        '(dispatch.may_use_topic(''join''%) IS NOT FALSE) '
                        '(dispatch.may_use_topic(''send''%) IS NOT FALSE)'
                else
                    '(%online_mechanics%session_requests_feed%dispatch.may_use_topic(''join''%) '
                    'IS NOT FALSE)) (%online_mechanics%session_requests_feed%'
                    'dispatch.may_use_topic(''send''%) IS NOT FALSE))'
            end
        ),
        (
            'dispatch_topics_not_anon', 'RESTRICTIVE', 'ALL', 'anon',
            case
                when current_setting('favorites_priority.governs_all')::boolean
                    then '(topic !~ %session_requests_feed%mechanic|customer%)'
                else '(topic !~ %mechanic|customer%)'
            end
        )
    ) as w (name, kind, command, role, rule)
    left join pg_catalog.pg_class as c
        on c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime')
    left join pg_catalog.pg_policies as p
        on p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname = w.name
) as c
\gset

-- A server that was updated may refuse what Realtime reads by.
do $$
declare
    v_refused text[];
    v_error text;
begin
    begin
        v_refused := dispatch.refused_output_plugins();
    exception
        when undefined_function or invalid_schema_name then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'output plugins of Realtime',
                'ok', v_error is null and coalesce(v_refused = '{}', true),
                'detail',
                case
                    when v_error is not null then v_error
                    when v_refused is null
                        then 'output_plugin_libraries is not shown to ' || current_user
                    when v_refused = '{}' then 'none is refused'
                    else
                        'refused: alter system set output_plugin_libraries = pgoutput, '
                        'test_decoding, wal2json'
                end
            )
        )::text,
        true
    );
end;
$$;

-- pg_cron's tables are named only where they are. Retention's hour and ages are the owner's.
do $$
declare
    v_checks jsonb := '[]';
    v_job record;
    v_active boolean;
    v_runs record;
    v_waits boolean;
begin
    for v_job in
        select * from (
            values
            ('dispatch-sweep', '* * * * *', '%dispatch.sweep\_round(%'),
            ('dispatch-start', '@reboot', '%dispatch.sweep\_round(%'),
            ('dispatch-retention', '%', '%dispatch.prune\_events(%')
        ) as w (name, schedule, command)
    loop
        if to_regclass('cron.job') is not null then
            execute
                $q$select bool_or(j.active) from cron.job as j
                where
                    j.jobname = $1 and j.schedule like $2 and j.command like $3
                    and j.database = current_database()$q$
                into v_active using v_job.name, v_job.schedule, v_job.command;
        end if;
        v_checks := v_checks || jsonb_build_object(
            'check_name', 'cron job ' || v_job.name,
            'ok', to_regclass('cron.job') is null or coalesce(v_active, false),
            'detail',
            case
                when to_regclass('cron.job') is null
                    then
                        'not in this database: run sweep yourself (sql/engine/schedule.sql says how)'
                when v_active then 'active'
                when not v_active then 'not active: cron.alter_job(jobid, active := true)'
                else 'missing or changed: run sql/engine/schedule.sql'
            end
        );
    end loop;

    -- Each run takes a minute, so that one is running nearly all the time.
    if to_regclass('cron.job') is not null then
        execute
            $q$select
                count(*),
                max(d.start_time) filter (
                    where d.status <> 'failed'
                    -- Ended with the server, or by somebody, not by a fault of its own.
                    or d.return_message
                    ~ 'server (restarted|closed the connection)'
                    '|terminating (connection|background worker)|job canceled'
                ) as good_at,
                -- None has ended, and so none has failed.
                count(*) filter (where d.status in ('succeeded', 'failed')) as ended,
                (array_agg(d.status || coalesce(', ' || left(d.return_message, 200), '')
                order by d.runid desc))[1] as outcome
            from cron.job_run_details as d
            inner join cron.job as j on j.jobid = d.jobid
            where j.jobname = 'dispatch-sweep' and j.database = current_database()$q$
            into v_runs;
        v_checks := v_checks || jsonb_build_object(
            'check_name', 'runs of dispatch-sweep',
            'ok',
            v_runs.ended = 0
            or coalesce(v_runs.good_at > now() - interval '3 minutes', false)
            -- After a restart pg_cron begins it at the next full minute.
            or (v_runs.good_at is not null and pg_postmaster_start_time() > now() - interval '3 minutes'),
            'detail',
            case
                when v_runs.count = 0 then 'none yet: the first begins with the next minute'
                else
                    'the last: ' || v_runs.outcome
                    || coalesce(', a good one at ' || date_trunc('second', v_runs.good_at), '')
            end
        );
    end if;

    if to_regprocedure('dispatch.cron_waits_for_each_job()') is not null then
        execute 'select dispatch.cron_waits_for_each_job()' into v_waits;
    end if;
    -- Told, and not failed for: where it is so, it may be the provider's to change. That it does
    -- harm is dispatch.health()'s to say.
    v_checks := v_checks || jsonb_build_object(
        'check_name', 'other jobs of pg_cron',
        'ok', true,
        'detail',
        case
            when to_regclass('cron.job') is null then 'not in this database'
            when v_waits is null then 'not known: run sql/engine/up.sql'
            when v_waits
                then
                    'NOTE: any that takes long holds up the sweep, as cron.use_background_workers is '
                    'on and pg_cron older than 1.5 (docs/runbook.md)'
            else 'none holds up the sweep by being slow'
        end
    );
    perform set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || v_checks)::text,
        true
    );
end;
$$;

-- Windows are counted by this clock. One that was set back would open windows again that are over.
do $$
declare
    v_last timestamptz;
    v_error text;
begin
    begin
        select e.created_at into v_last
        from dispatch.request_events as e order by e.id desc limit 1;
    exception
        when undefined_table or invalid_schema_name or undefined_column then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'clock',
                'ok',
                v_error is null
                and coalesce(v_last < clock_timestamp() + interval '1 second', true),
                'detail',
                case
                    when v_error is not null then v_error
                    when v_last >= clock_timestamp() + interval '1 second'
                        then 'behind the last event, of ' || v_last || ': it was set back'
                    else to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZH:TZM')
                end
            )
        )::text,
        true
    );
end;
$$;

-- Any zone will do, but PostgreSQL also takes a name that is none for an offset of its own making.
-- (The view reads a file for each zone there is.)
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'time zone' as check_name,
        case
            when current_setting('timezone') <> 'UTC'
                then current_setting('timezone') in (
                    select z.name from pg_catalog.pg_timezone_names as z
                )
            else true
        end as ok,
        current_setting('timezone')
        || ', now UTC'
        || to_char(clock_timestamp(), 'TZH:TZM') as detail
) as c
\gset
