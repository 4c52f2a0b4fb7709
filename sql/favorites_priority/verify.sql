-- Checks an installed feature: prints one row for each check, and raises if one is not ok.
--   psql "$DATABASE_URL" -X -f sql/favorites_priority/verify.sql
-- psql's exit status is 0, or 3 if a check fails, or 2 if there is no connection.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset format wrapped
\pset columns 110
begin;
set local search_path = '';
set local client_min_messages = warning;
-- Compiling a check takes longer than running it.
set local jit = off;

create temporary table checks (
    number integer generated always as identity,
    check_name text,
    ok boolean,
    detail text
) on commit drop;

-- The three columns, as the contract has them.
insert into pg_temp.checks (check_name, ok, detail)
select
    'column ' || w.name,
    coalesce(
        format_type(a.atttypid, a.atttypmod) = w.type and not a.attnotnull and not a.atthasdef,
        false
    ),
    case
        when a.attnum is null then 'missing: run up.sql'
        else
            format_type(a.atttypid, a.atttypmod)
            || case when a.attnotnull then ' not null' else '' end
    end
from (
    values
    ('preferred_mechanic_id', 'uuid'),
    ('priority_window_minutes', 'integer'),
    ('priority_notified_at', 'timestamp with time zone')
) as w (name, type)
left join pg_catalog.pg_attribute as a
    on
        a.attrelid = to_regclass('public.session_requests')
        and a.attname = w.name and not a.attisdropped;

insert into pg_temp.checks (check_name, ok, detail)
select
    'foreign key preferred_mechanic_id',
    count(*) = 1,
    case
        when count(*) = 1 then 'to mechanics, on delete set null'
        else 'missing, not validated or another action: drop it and run up.sql'
    end
from pg_catalog.pg_constraint as c
where
    c.conname = 'session_requests_preferred_mechanic_id_fkey'
    and c.conrelid = to_regclass('public.session_requests')
    and c.confrelid = to_regclass('public.mechanics')
    and c.contype = 'f' and c.confdeltype = 'n' and c.convalidated;

insert into pg_temp.checks (check_name, ok, detail)
select
    'index ' || w.name,
    coalesce(
        i.indisvalid and i.indisready and d.keys = translate(w.keys, '()', ''), false
    ),
    case
        when i.indexrelid is null then 'missing: run up.sql'
        when not i.indisvalid then 'invalid: drop it and run up.sql'
        when d.keys <> translate(w.keys, '()', '') then 'another: drop it and run up.sql'
        else 'valid, ' || pg_size_pretty(pg_relation_size(i.indexrelid))
    end
from (
    values
    (
        'session_requests_preferred_mechanic_idx',
        '(preferred_mechanic_id) WHERE (preferred_mechanic_id IS NOT NULL)'
    ),
    (
        'session_requests_priority_notified_idx',
        '(priority_notified_at) WHERE ((priority_notified_at IS NOT NULL) AND '
        '(status = ''pending''::public.session_request_status))'
    ),
    (
        'session_requests_priority_deadline_idx',
        '((((priority_notified_at AT TIME ZONE ''UTC''::text) '
        '+ make_interval(mins => priority_window_minutes)) AT TIME ZONE ''UTC''::text)) '
        'WHERE ((status = ''pending''::public.session_request_status) '
        'AND (notification_sent_at IS NULL))'
    )
) as w (name, keys)
left join pg_catalog.pg_index as i
    on
        i.indexrelid = to_regclass('public.' || w.name)
        and i.indrelid = to_regclass('public.session_requests')
-- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
cross join translate(
    regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', ''), '()', ''
) as d (keys);

-- The sweep must find the next deadline in its index, not by reading the table.
do $$
declare
    v_plan text := '';
    v_line text;
begin
    set local enable_seqscan = off;
    for v_line in
        execute
            $q$explain select r.id from public.session_requests as r
            where
                r.status = 'pending' and r.notification_sent_at is null
                and ((r.priority_notified_at at time zone 'UTC')
                + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC' <= now()
            order by
                ((r.priority_notified_at at time zone 'UTC')
                + make_interval(mins => r.priority_window_minutes)) at time zone 'UTC'
            limit 1000$q$
    loop
        v_plan := v_plan || v_line || E'\n';
    end loop;
    insert into pg_temp.checks (check_name, ok, detail)
    values (
        'plan of the sweep',
        v_plan like '%session_requests_priority_deadline_idx%' and v_plan not like '%Sort%',
        'uses session_requests_priority_deadline_idx'
    );
exception
    when undefined_column or undefined_table then
        insert into pg_temp.checks (check_name, ok, detail)
        values ('plan of the sweep', false, sqlerrm);
end;
$$;

-- The hooks have the feature's bodies, not the platform's neutral ones.
insert into pg_temp.checks (check_name, ok, detail)
select
    'hook ' || split_part(w.signature, '(', 1),
    coalesce(position(w.needle in p.prosrc) > 0, false),
    case
        when p.oid is null then 'missing: run up.sql'
        when position(w.needle in p.prosrc) = 0 then 'is the platform''s: run up.sql'
        else 'is the feature''s'
    end
from (
    values
    ('dispatch.priority_window(public.session_requests)', 'priority_notified_at'),
    ('dispatch.route_request()', 'priority_notified_at'),
    ('dispatch.log_new_request()', 'priority_notified_at'),
    ('dispatch.pending_windows(timestamptz,integer)', 'priority_notified_at'),
    ('dispatch.unannounced_requests(uuid)', 'priority_notified_at'),
    (
        'dispatch.fallback_reason(public.session_requests,public.session_requests)',
        'priority_notified_at'
    ),
    ('dispatch.release_windows()', 'preferred_mechanic_id'),
    ('dispatch.set_favorites_priority(boolean)', 'favorites_priority_enabled')
) as w (signature, needle)
left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(w.signature);

-- Every function: its owner, a fixed search_path, nothing for PUBLIC or anon.
insert into pg_temp.checks (check_name, ok, detail)
select
    'owner of the functions',
    count(*) filter (where p.proowner <> n.nspowner) = 0,
    coalesce(
        'another''s: '
        || string_agg(p.oid::regprocedure::text, ', ') filter (where p.proowner <> n.nspowner),
        count(*) || ' belong to the owner of dispatch'
    )
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
where n.nspname = 'dispatch';

insert into pg_temp.checks (check_name, ok, detail)
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
) as x;

-- Exactly these functions run as their owner, and exactly these may be called by clients: one too
-- many opens the event log, one too few breaks an RPC. PUBLIC's grants count as anon's. A function
-- that is said to be stable and writes fails; one that only reads and is volatile is not planned
-- once for a whole query.
insert into pg_temp.checks (check_name, ok, detail)
select
    w.check_name,
    coalesce(bool_and(f.wanted = f.found), false),
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
    )
from (
    values
    (
        1, 'security definer functions', 'definer',
        array[
            'accept_request', 'broadcast_request_now', 'cancel_request', 'complete_request',
            'create_free_request', 'decline_request', 'get_request_timeline', 'guard_request',
            'list_favorites', 'list_open_requests', 'list_request_events', 'log_new_request',
            'log_request_change', 'make_checkout', 'may_see_request', 'may_use_topic',
            'mechanic_status', 'process_stripe_event', 'release_windows', 'route_request',
            'set_mechanic_presence'
        ]
    ),
    (2, 'functions open to anon', 'anon', array['mechanic_words']),
    (
        3, 'functions open to authenticated', 'authenticated',
        array[
            'accept_request', 'broadcast_request_now', 'caller_id', 'cancel_request',
            'complete_request', 'create_free_request', 'decline_request', 'get_request_timeline',
            'list_favorites', 'list_open_requests', 'list_request_events', 'make_checkout',
            'may_see_request', 'may_use_topic', 'mechanic_status', 'mechanic_words',
            'set_mechanic_presence'
        ]
    ),
    (
        4, 'functions open to service_role', 'service_role',
        array['mechanic_words', 'process_stripe_event']
    ),
    (
        5, 'stable functions', 'stable',
        array[
            'booking_error', 'caller_id', 'choose_recipients', 'explain_routing',
            'fallback_reason', 'favorites_priority_enabled', 'first_event_id_since',
            'get_request_timeline', 'health', 'is_approved_mechanic',
            'is_online', 'list_favorites', 'list_open_requests', 'make_checkout',
            'may_see_request', 'may_use_topic', 'mechanic_status', 'next_deadline',
            'pending_windows', 'policy_fingerprints', 'priority_window', 'refusal',
            'request_of_checkout', 'require_mechanic', 'require_own_request', 'require_user',
            'score_match', 'silent_since', 'unannounced_requests', 'wants_priority'
        ]
    ),
    (
        6, 'immutable functions', 'immutable',
        array[
            'match_points', 'mechanic_words', 'not_pending', 'shown_request', 'to_uuid',
            'ways_to_match'
        ]
    )
) as w (number, check_name, kind, names)
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
                    else has_function_privilege(w.kind, p.oid, 'execute')
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
group by w.number, w.check_name
order by w.number;

insert into pg_temp.checks (check_name, ok, detail)
select
    'rpc ' || split_part(w.signature, '(', 1),
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
    ),
    case
        when p.oid is null then 'missing: run up.sql of the platform'
        else w.kind || ', for ' || w.grantee || ' alone, as its caller'
    end
from (
    values
    ('public.get_mechanic_status(uuid)', 'authenticated', 'reads'),
    ('public.list_favorite_mechanics()', 'authenticated', 'reads'),
    ('public.prepare_checkout(text,uuid,text,integer,boolean)', 'authenticated', 'reads'),
    ('public.request_free_session(text,uuid,text)', 'authenticated', 'writes'),
    ('public.cancel_session_request(uuid)', 'authenticated', 'writes'),
    ('public.broadcast_session_request_now(uuid)', 'authenticated', 'writes'),
    ('public.get_session_request_timeline(uuid)', 'authenticated', 'reads'),
    ('public.set_presence(text)', 'authenticated', 'writes'),
    ('public.list_open_session_requests()', 'authenticated', 'reads'),
    ('public.accept_session_request(uuid)', 'authenticated', 'writes'),
    ('public.decline_session_request(uuid,text)', 'authenticated', 'writes'),
    ('public.complete_session_request(uuid)', 'authenticated', 'writes'),
    ('public.list_session_request_events(bigint,integer)', 'authenticated', 'writes'),
    ('public.process_stripe_event(jsonb)', 'service_role', 'writes')
) as w (signature, grantee, kind)
left join pg_catalog.pg_namespace as n on n.nspname = 'dispatch'
left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(w.signature);

insert into pg_temp.checks (check_name, ok, detail)
select
    'trigger ' || w.name,
    coalesce(t.tgenabled in ('O', 'A'), false),
    case
        when t.oid is null then 'missing: run up.sql'
        when t.tgenabled not in ('O', 'A') then 'disabled: alter table … enable trigger …'
        else 'enabled on ' || w.relation
    end
from (
    values
    ('session_requests_route', 'public.session_requests'),
    ('session_requests_guard', 'public.session_requests'),
    ('session_requests_log_insert', 'public.session_requests'),
    ('session_requests_log_update', 'public.session_requests'),
    ('session_requests_log_delete', 'public.session_requests'),
    ('mechanics_release_windows', 'public.mechanics')
) as w (name, relation)
left join pg_catalog.pg_trigger as t
    on t.tgname = w.name and t.tgrelid = to_regclass(w.relation);

-- The policies are the marketplace's: the feature changed none, and nobody has since. A change that
-- was meant is taken note of by up.sql, run again.
do $$
declare
    v_then jsonb;
    v_now jsonb;
begin
    v_now := dispatch.policy_fingerprints();
    select substring(obj_description(t.oid, 'pg_trigger') from '\{.*\}')::jsonb into v_then
    from pg_catalog.pg_trigger as t
    where
        t.tgrelid = to_regclass('public.mechanics') and t.tgname = 'mechanics_release_windows';

    insert into pg_temp.checks (check_name, ok, detail)
    select
        'policies on the marketplace''s tables',
        v_then is not null and c.relrowsecurity and count(p.policy) = 0,
        case
            when v_then is null then 'not noted: run up.sql'
            when not c.relrowsecurity
                then 'row level security is off on session_requests: all see reserved requests'
            else
                coalesce(
                    'differ since up.sql (if meant, run it again): '
                    || string_agg(p.policy, ', ' order by p.policy),
                    (select count(*) from jsonb_object_keys(v_now)) || ', as when up.sql was run'
                )
        end
    from pg_catalog.pg_class as c
    left join
        lateral (
            select coalesce(a.key, b.key) as policy
            from jsonb_each(v_then) as a
            full join jsonb_each(v_now) as b on b.key = a.key
            where a.value is distinct from b.value
        ) as p on true
    where c.oid = to_regclass('public.session_requests')
    group by c.relrowsecurity;
exception
    when undefined_function or invalid_schema_name then
        insert into pg_temp.checks (check_name, ok, detail)
        values ('policies on the marketplace''s tables', false, sqlerrm);
end;
$$;

-- The feature adds columns and no table; the platform keeps two.
insert into pg_temp.checks (check_name, ok, detail)
select
    'tables of dispatch',
    coalesce(
        string_agg(c.relname, ', ' order by c.relname) = 'request_events, stripe_events', false
    ),
    coalesce(string_agg(c.relname, ', ' order by c.relname), 'none: run up.sql of the platform')
from pg_catalog.pg_class as c
where
    c.relnamespace = to_regnamespace('dispatch') and c.relkind in ('r', 'p', 'f', 'm');

-- Realtime is not in every database; where it is, it must send what it may, and no more.
insert into pg_temp.checks (check_name, ok, detail)
select
    'table changes by Realtime',
    p.oid is null or t.tablename is not null,
    case
        when p.oid is null then 'no publication supabase_realtime in this database'
        when t.tablename is null then 'not published: run sql/platform/realtime.sql'
        else 'session_requests is in supabase_realtime'
    end
from (select 'supabase_realtime'::name as pubname) as w
left join pg_catalog.pg_publication as p on p.pubname = w.pubname
left join pg_catalog.pg_publication_tables as t
    on
        t.pubname = w.pubname
        and t.schemaname = 'public' and t.tablename = 'session_requests';

insert into pg_temp.checks (check_name, ok, detail)
select
    'policy ' || w.name,
    c.oid is null or coalesce(
        c.relrowsecurity
        and p.cmd = w.command and p.permissive = w.kind and p.roles = array[w.role]
        and concat_ws(' ', p.qual, p.with_check) like w.rule,
        false
    ),
    case
        when c.oid is null then 'no realtime.messages in this database'
        when not c.relrowsecurity then 'row level security is off on realtime.messages'
        when p.policyname is null then 'missing: run sql/platform/realtime.sql'
        else lower(p.permissive || ', for ' || p.cmd || ' to ') || array_to_string(p.roles, ', ')
    end
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
    (
        'dispatch_topics_only', 'RESTRICTIVE', 'ALL', 'authenticated',
        '(dispatch.may_use_topic(''join''%) IS NOT FALSE) '
        '(dispatch.may_use_topic(''send''%) IS NOT FALSE)'
    ),
    ('dispatch_topics_not_anon', 'RESTRICTIVE', 'ALL', 'anon', '(topic !~ %session_requests_feed%')
) as w (name, kind, command, role, rule)
left join pg_catalog.pg_class as c
    on c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime')
left join pg_catalog.pg_policies as p
    on p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname = w.name;

-- pg_cron's tables are named only where they are. Retention's hour and ages are the owner's.
do $$
declare
    v_job record;
    v_active boolean;
    v_runs record;
begin
    for v_job in
        select * from (
            values
            ('dispatch-sweep', '* * * * *', '%dispatch.sweep\_round(%'),
            ('dispatch-retention', '%', '%dispatch.prune\_events(%')
        ) as w (name, schedule, command)
    loop
        if to_regclass('cron.job') is null then
            insert into pg_temp.checks (check_name, ok, detail)
            values ('cron job ' || v_job.name, false, 'pg_cron is not in this database');
            continue;
        end if;
        execute
            $q$select bool_or(j.active) from cron.job as j
            where
                j.jobname = $1 and j.schedule like $2 and j.command like $3
                and j.database = current_database()$q$
            into v_active using v_job.name, v_job.schedule, v_job.command;
        insert into pg_temp.checks (check_name, ok, detail)
        values (
            'cron job ' || v_job.name,
            coalesce(v_active, false),
            case
                when v_active then 'active'
                when not v_active then 'not active: cron.alter_job(jobid, active := true)'
                else 'missing or changed: run sql/platform/schedule.sql'
            end
        );
    end loop;
    if to_regclass('cron.job') is null then
        return;
    end if;

    -- Each run takes a minute, so that one is running nearly all the time.
    execute
        $q$select
            count(*),
            max(coalesce(d.start_time, now())) filter (
                where d.status <> 'failed'
                -- Ended with the server, not by a fault of its own.
                or d.return_message ~ 'terminating background worker|server restarted'
            ) as good_at,
            (array_agg(d.status || coalesce(', ' || left(d.return_message, 200), '')
            order by d.runid desc))[1] as outcome
        from cron.job_run_details as d
        inner join cron.job as j on j.jobid = d.jobid
        where j.jobname = 'dispatch-sweep'$q$
        into v_runs;
    insert into pg_temp.checks (check_name, ok, detail)
    values (
        'runs of dispatch-sweep',
        v_runs.count = 0 or coalesce(v_runs.good_at > now() - interval '3 minutes', false),
        case
            when v_runs.count = 0 then 'none yet: the first begins with the next minute'
            else
                'the last: ' || v_runs.outcome
                || coalesce(', a good one at ' || date_trunc('second', v_runs.good_at), '')
        end
    );
end;
$$;

-- Windows are counted by this clock. One that was set back would open windows again that are over.
do $$
declare
    v_last timestamptz;
begin
    select e.created_at into v_last from dispatch.request_events as e order by e.id desc limit 1;
    insert into pg_temp.checks (check_name, ok, detail)
    values (
        'clock',
        coalesce(v_last < clock_timestamp() + interval '1 second', true),
        case
            when v_last >= clock_timestamp() + interval '1 second'
                then 'behind the last event, of ' || v_last || ': it was set back'
            else to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZH:TZM')
        end
    );
exception
    when undefined_table or invalid_schema_name then
        insert into pg_temp.checks (check_name, ok, detail) values ('clock', false, sqlerrm);
end;
$$;

-- Any zone will do, but PostgreSQL also takes a name that is none for an offset of its own making.
-- (The view reads a file for each zone there is.)
insert into pg_temp.checks (check_name, ok, detail)
select
    'time zone',
    case
        when current_setting('timezone') <> 'UTC'
            then current_setting('timezone') in (
                select z.name from pg_catalog.pg_timezone_names as z
            )
        else true
    end,
    current_setting('timezone') || ', now UTC' || to_char(clock_timestamp(), 'TZH:TZM');

-- Readable at all, and then which way it stands (either is fine).
do $$
begin
    insert into pg_temp.checks (check_name, ok, detail)
    values (
        'flag ENABLE_FAVORITES_PRIORITY',
        dispatch.favorites_priority_enabled() is not null,
        case when dispatch.favorites_priority_enabled() then 'on' else 'off' end
    );
exception
    when undefined_function or invalid_schema_name then
        insert into pg_temp.checks (check_name, ok, detail)
        values ('flag ENABLE_FAVORITES_PRIORITY', false, sqlerrm);
end;
$$;

select
    case when c.ok then 'ok' else 'FAILED' end as result,
    c.check_name,
    c.detail
from pg_temp.checks as c
order by c.number;

do $$
declare
    v_failed text;
begin
    select string_agg(c.check_name, ', ' order by c.number) into v_failed
    from pg_temp.checks as c
    where not c.ok;
    if v_failed is not null then
        raise exception using
            message = 'verify failed: ' || v_failed,
            hint = 'The table above says what is wrong with each and what to do.';
    end if;
end;
$$;

rollback;
