-- What the engine needs of the database it comes to: collected here, refused by refuse.sql.
create temporary table missing (what text, remedy text) on commit drop;
create temporary table marketplace on commit drop as
select c.oid, c.relname, c.relkind, c.relowner, c.reloftype
from pg_catalog.pg_class as c
where
    c.relnamespace = 'public'::regnamespace
    and c.relname in ('mechanics', 'customer_favorites', 'service_plans', 'session_requests');
\ir asking.sql

-- Else the patterns here, and in every function, mean something else.
insert into pg_temp.missing (what, remedy)
select
    'standard_conforming_strings is off',
    'set it on, or reset it, where it stands (alter database, alter role, postgresql.conf)'
where current_setting('standard_conforming_strings') = 'off';
set local standard_conforming_strings = on;

insert into pg_temp.missing (what, remedy)
select 'PostgreSQL ' || current_setting('server_version'), 'upgrade to 15 or newer'
where current_setting('server_version_num')::integer < 150000
union all
select 'role ' || w.name || ' is missing', 'Supabase has it; elsewhere create it'
from (values ('anon'), ('authenticated'), ('service_role')) as w (name)
where to_regrole(w.name) is null
union all
select w.name || ' is missing', 'Supabase Auth has it; elsewhere create it'
from (values ('auth.uid()'), ('auth.jwt()')) as w (name)
where to_regprocedure(w.name) is null
union all
select 'table auth.users is missing', 'Supabase Auth has it; elsewhere create it'
where to_regclass('auth.users') is null
union all
-- What is made, and where.
select
    format('%I may not create schemas in the database %I', current_user, d.datname),
    format('grant create on database %I to %I', d.datname, current_user)
from pg_catalog.pg_database as d
where
    d.datname = current_database() and to_regnamespace('dispatch') is null
    and not has_database_privilege(d.oid, 'create')
union all
select
    format('%I may not create functions in the schema public', current_user),
    format('grant create on schema public to %I', current_user)
where not has_schema_privilege('public', 'create')
union all
select
    format('%I may not use pg_cron', current_user),
    format('grant usage on schema cron to %I', current_user)
from pg_catalog.pg_extension as e
inner join pg_catalog.pg_namespace as n on n.nspname = 'cron'
where e.extname = 'pg_cron' and not has_schema_privilege(n.oid, 'usage')
union all
-- To lock a row, as a booking and an accept do with its account, takes the right to change it.
select
    format('%I may not lock the rows of auth.users', current_user),
    format('grant select, update on auth.users to %I', current_user)
where
    not (
        has_table_privilege(to_regclass('auth.users'), 'select')
        and has_any_column_privilege(to_regclass('auth.users'), 'update')
    )
union all
-- As the reference marketplace's tables do, of those who have none.
select
    format('%I may not make a foreign key to auth.users', current_user),
    format('grant references on auth.users to %I', current_user)
where
    not exists (select from pg_temp.marketplace)
    and not has_table_privilege(to_regclass('auth.users'), 'references')
union all
select
    format('row level security hides the rows of auth.users from %I', current_user),
    format('alter role %I bypassrls', current_user)
where
    row_security_active(to_regclass('auth.users'))
    and not exists (
        select from pg_catalog.pg_policy as p
        cross join unnest(p.polroles) as g (oid)
        where
            p.polrelid = to_regclass('auth.users') and p.polpermissive and p.polcmd in ('r', '*')
            and case
                when g.oid = to_regrole(quote_ident(current_user)) then true
                when pg_get_expr(p.polqual, p.polrelid) = 'true'
                    then g.oid = 0 or pg_has_role(g.oid, 'usage')
            end
    )
union all
-- Whatever it holds, and if it is empty: down.sql would take it along.
select 'schema dispatch is somebody else''s', 'rename it'
where
    to_regnamespace('dispatch') is not null
    -- Known by what every version has, as a database may be restored without its comments.
    and to_regprocedure('dispatch.favorites_priority_enabled()') is null
    -- One of them may be lost, and comes back by this.
    and to_regprocedure('dispatch.sweep(integer,timestamptz)') is null;

-- These two get triggers, and the columns of the feature. The rest is read through the binding.
insert into pg_temp.missing (what, remedy)
select
    m.relname || ' is not an ordinary table', 'rename it; views and partitions cannot be guarded'
from pg_temp.marketplace as m
inner join pg_catalog.pg_class as c on c.oid = m.oid
where
    m.relname in ('mechanics', 'session_requests')
    -- A part of another table gets no column of its own.
    and (m.relkind <> 'r' or (c.relispartition and m.relname = 'session_requests'))
union all
select
    format('session_requests is a table of the type %s, which has its columns', reloftype::regtype),
    'alter table public.session_requests not of'
from pg_temp.marketplace
where relname = 'session_requests' and reloftype <> 0
union all
select
    format('table %s belongs to %s', relname, relowner::regrole),
    'install as that role, or give the table to ' || current_user
from pg_temp.marketplace
where relname in ('mechanics', 'session_requests') and not pg_has_role(relowner, 'usage');

-- The words that a marketplace of requests is told by; what else it has is its own affair.
insert into pg_temp.missing (what, remedy)
select
    case
        when a.attnum is null then format('column %s.%s is missing', m.relname, w.name)
        else
            format(
                'column %s.%s is %s', m.relname, w.name, format_type(a.atttypid, a.atttypmod)
            )
    end,
    'this is another table, or none that the engine can route: see sql/discover.sql'
from (
    values
    ('mechanics', 'id', '{uuid}'::text[]),
    ('session_requests', 'id', '{uuid}'),
    ('session_requests', 'created_at', '{timestamptz,timestamp}'),
    ('session_requests', 'customer_id', '{uuid}'),
    ('session_requests', 'mechanic_id', '{uuid}'),
    ('session_requests', 'session_type', '{}'),
    ('session_requests', 'status', '{}')
) as w (relation, name, types)
inner join pg_temp.marketplace as m on m.relname = w.relation
left join pg_catalog.pg_attribute as a
    on a.attrelid = m.oid and a.attname = w.name and not a.attisdropped
left join pg_catalog.pg_type as x on x.oid = a.atttypid
-- A domain is what it is made of.
left join pg_catalog.pg_type as y on y.oid = coalesce(nullif(x.typbasetype, 0), x.oid)
where a.attnum is null or (w.types <> '{}' and y.typname <> all(w.types));

insert into pg_temp.missing (what, remedy)
select
    format('column session_requests.%s is computed, and no accept could be written', a.attname),
    'make it a column that is written'
from pg_temp.marketplace as m
inner join pg_catalog.pg_attribute as a on a.attrelid = m.oid and not a.attisdropped
where
    m.relname = 'session_requests' and a.attname in ('mechanic_id', 'status')
    and a.attgenerated <> '';

insert into pg_temp.missing (what, remedy)
select
    format('table %s has no unique key (id)', m.relname),
    format(
        'alter table public.%s add unique (id)%s',
        m.relname,
        case when m.relname = 'mechanics' then '; one that is deferrable will not do' else '' end
    )
from pg_temp.marketplace as m
where
    m.relname in ('mechanics', 'session_requests') and m.relkind = 'r'
    and not exists (
        select from pg_catalog.pg_index as i
        inner join pg_catalog.pg_attribute as a
            on a.attrelid = i.indrelid and i.indkey[0] = a.attnum and a.attname = 'id'
        where
            i.indrelid = m.oid and i.indisunique and i.indisvalid and i.indpred is null
            and i.indnkeyatts = 1
            -- A foreign key cannot point to one that is checked later.
            and (i.indimmediate or m.relname <> 'mechanics')
    );

-- Nothing of the marketplace's is replaced because its name is one of ours.
\ir rpcs.sql
insert into pg_temp.missing (what, remedy)
select
    format('function %s is the marketplace''s own', p.oid::regprocedure),
    'rename it: clients call ours by this name'
from pg_catalog.pg_proc as p
where
    p.pronamespace = 'public'::regnamespace and p.prosrc !~ '\mdispatch\.'
    and p.proname = any(current_setting('dispatch.rpcs')::text[])
union all
select
    format('trigger %s is the marketplace''s own', t.tgname),
    format('alter trigger %s on public.%s rename to …', t.tgname, m.relname)
from pg_temp.marketplace as m
inner join pg_catalog.pg_trigger as t on t.tgrelid = m.oid
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
where
    p.pronamespace is distinct from to_regnamespace('dispatch')
    and t.tgname in (
        '00_dispatch_guard', '00_dispatch_log_delete', '00_dispatch_log_insert',
        '00_dispatch_log_update', 'mechanics_note_last_turns', 'mechanics_note_turns',
        'mechanics_release_windows', 'session_requests_guard',
        'session_requests_log_delete', 'session_requests_log_insert',
        'session_requests_log_update', 'session_requests_route', 'zzz_dispatch_guard',
        'zzz_dispatch_open_window'
    );

-- pg_cron's jobs are known by their names.
do $$
begin
    if
        exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and has_schema_privilege('cron', 'usage')
    then
        execute $q$
            insert into pg_temp.missing (what, remedy)
            select
                format('cron job %s is the marketplace''s own', j.jobname),
                'schedule it by another name, then: select cron.unschedule(' || j.jobid || ')'
            from cron.job as j
            where
                j.jobname in ('dispatch-sweep', 'dispatch-start', 'dispatch-retention')
                and j.database = current_database() and j.username = current_user
                and j.command !~ '\mdispatch\.'
            union all
            -- Of one name pg_cron keeps one job for a role, wherever that runs.
            select
                format('cron job %s of %s runs in database %s', j.jobname, j.username, j.database),
                'schedule that by another name, then: select cron.unschedule(' || j.jobid || ')'
            from cron.job as j
            where
                j.jobname in ('dispatch-sweep', 'dispatch-start', 'dispatch-retention')
                and j.database <> current_database() and j.username = current_user
                and exists (
                    select from pg_catalog.pg_database as d where d.datname = j.database
                )
        $q$;
    end if;
end;
$$;

-- An index that was interrupted while it was built is there, and of no use.
insert into pg_temp.missing (what, remedy)
select
    format('index %s is invalid', i.indexrelid::regclass),
    format('drop index concurrently %s', i.indexrelid::regclass)
from pg_catalog.pg_index as i
inner join pg_catalog.pg_class as c on c.oid = i.indrelid
where
    not i.indisvalid
    and (
        c.relnamespace = to_regnamespace('dispatch')
        or (
            c.oid in (select m.oid from pg_temp.marketplace as m)
            and (
                obj_description(c.oid, 'pg_class') like 'Reference marketplace: %'
                or i.indexrelid::regclass::text like '%session\_requests\_pr%\_idx'
            )
        )
    );

-- An accept needs the row that it wrote. A rule on UPDATE may keep it.
do $$
begin
    execute 'explain update public.session_requests set id = id where false returning id';
exception
    when feature_not_supported then
        insert into pg_temp.missing (what, remedy)
        select
            format('%s: by its rule %I', sqlerrm, r.rulename),
            'make a trigger of it'
        from pg_catalog.pg_rewrite as r
        where
            r.ev_class = 'public.session_requests'::regclass
            and r.ev_type = '2' and r.is_instead;
    -- What else is wrong with it is told above.
    when assert_failure or others then null;
end;
$$;
