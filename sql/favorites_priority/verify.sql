-- Checks an installed feature: prints one row for each check, and fails if one is not ok.
--   psql "$DATABASE_URL" -X -v ON_ERROR_STOP=1 -f sql/favorites_priority/verify.sql
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset format wrapped
\pset columns 110
begin;
set local search_path = '';
set local client_min_messages = warning;

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
    coalesce(i.indisvalid and i.indisready and i.indpred is not null, false),
    case
        when i.indexrelid is null then 'missing: run up.sql'
        when not i.indisvalid then 'invalid: drop it and run up.sql'
        else 'valid, ' || pg_size_pretty(pg_relation_size(i.indexrelid))
    end
from (
    values
    ('session_requests_preferred_mechanic_idx'),
    ('session_requests_priority_notified_idx'),
    ('session_requests_priority_deadline_idx')
) as w (name)
left join pg_catalog.pg_index as i
    on
        i.indexrelid = to_regclass('public.' || w.name)
        and i.indrelid = to_regclass('public.session_requests');

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
        'not empty: ' || string_agg(x.signature, ', ') filter (where x.is_open), 'empty in all'
    )
from (
    select
        p.oid::regprocedure::text as signature,
        not coalesce(p.proconfig @> array['search_path=""'], false) as is_open
    from pg_catalog.pg_proc as p
    where p.pronamespace = to_regnamespace('dispatch')
) as x;

-- Exactly these functions run as their owner, and exactly these may be called by clients: one too
-- many opens the event log, one too few breaks an RPC. PUBLIC's grants count as anon's.
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
        1, 'security definer functions', null,
        array[
            'accept_request', 'broadcast_request_now', 'cancel_request', 'complete_request',
            'create_free_request', 'decline_request', 'get_request_timeline', 'guard_request',
            'list_favorites', 'list_open_requests', 'list_request_events', 'log_new_request',
            'log_request_change', 'make_checkout', 'may_see_request', 'may_use_topic',
            'mechanic_status', 'process_stripe_event', 'release_windows', 'route_request',
            'set_mechanic_presence'
        ]
    ),
    (2, 'functions open to anon', 'anon', '{}'::text[]),
    (
        3, 'functions open to authenticated', 'authenticated',
        array[
            'accept_request', 'broadcast_request_now', 'caller_id', 'cancel_request',
            'complete_request', 'create_free_request', 'decline_request', 'get_request_timeline',
            'list_favorites', 'list_open_requests', 'list_request_events', 'make_checkout',
            'may_see_request', 'may_use_topic', 'mechanic_status', 'set_mechanic_presence'
        ]
    ),
    (4, 'functions open to service_role', 'service_role', array['process_stripe_event'])
) as w (number, check_name, grantee, names)
cross join
    lateral (
        select
            coalesce(p.proname::text, n.name) as name,
            n.name is not null as wanted,
            coalesce(
                case
                    when w.grantee is null then p.prosecdef
                    else has_function_privilege(w.grantee, p.oid, 'execute')
                end,
                false
            ) as found
        from unnest(w.names) as n (name)
        full join (
            select f.oid, f.proname, f.prosecdef from pg_catalog.pg_proc as f
            where f.pronamespace = to_regnamespace('dispatch')
        ) as p on p.proname = n.name
    ) as f
group by w.number, w.check_name
order by w.number;

insert into pg_temp.checks (check_name, ok, detail)
select
    'rpc ' || split_part(w.signature, '(', 1),
    coalesce(
        not p.prosecdef and p.proconfig @> array['search_path=""']
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
    case when p.oid is null then 'missing: run up.sql of the platform' else 'for ' || w.grantee end
from (
    values
    ('public.get_mechanic_status(uuid)', 'authenticated'),
    ('public.list_favorite_mechanics()', 'authenticated'),
    ('public.prepare_checkout(text,uuid,text,integer,boolean)', 'authenticated'),
    ('public.request_free_session(text,uuid,text)', 'authenticated'),
    ('public.cancel_session_request(uuid)', 'authenticated'),
    ('public.broadcast_session_request_now(uuid)', 'authenticated'),
    ('public.get_session_request_timeline(uuid)', 'authenticated'),
    ('public.set_presence(text)', 'authenticated'),
    ('public.list_open_session_requests()', 'authenticated'),
    ('public.accept_session_request(uuid)', 'authenticated'),
    ('public.decline_session_request(uuid,text)', 'authenticated'),
    ('public.complete_session_request(uuid)', 'authenticated'),
    ('public.list_session_request_events(bigint,integer)', 'authenticated'),
    ('public.process_stripe_event(jsonb)', 'service_role')
) as w (signature, grantee)
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

insert into pg_temp.checks (check_name, ok, detail)
select
    'row level security on session_requests',
    coalesce(bool_and(c.relrowsecurity), false),
    case
        when bool_and(c.relrowsecurity) then 'on' else 'off: everyone sees reserved requests'
    end
from pg_catalog.pg_class as c
where c.oid = to_regclass('public.session_requests');

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
end;
$$;

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
