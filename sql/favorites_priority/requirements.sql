-- What the feature needs of the engine, and that columns of its names will do.
insert into pg_temp.missing (what, remedy)
select 'the engine is not installed', 'run sql/engine/up.sql, or push its migration'
where
    to_regclass('dispatch.requests') is null
    or to_regprocedure('dispatch.sweep(integer,timestamptz)') is null
union all
select
    format(
        'column session_requests.%s is %s, not %s',
        w.name, format_type(a.atttypid, a.atttypmod), w.type
    ),
    format('alter table public.session_requests rename column %s to …', w.name)
from (
    values
    ('preferred_mechanic_id', 'uuid'),
    ('priority_window_minutes', 'integer'),
    ('priority_notified_at', 'timestamptz')
) as w (name, type)
inner join pg_catalog.pg_attribute as a
    on a.attrelid = to_regclass('public.session_requests') and a.attname = w.name
where not a.attisdropped and a.atttypid <> to_regtype(w.type)
union all
select
    format(
        'column session_requests.preferred_mechanic_id points to %s, not to mechanics',
        c.confrelid::regclass
    ),
    'alter table public.session_requests rename column preferred_mechanic_id to …'
from pg_catalog.pg_constraint as c
inner join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = any(c.conkey)
where
    c.conrelid = to_regclass('public.session_requests') and c.contype = 'f'
    and a.attname = 'preferred_mechanic_id' and c.confrelid <> to_regclass('public.mechanics')
union all
-- A column that was renamed leaves its names behind.
select
    format('constraint %s of session_requests is of another column', c.conname),
    format('alter table public.session_requests rename constraint %s to …', c.conname)
from pg_catalog.pg_constraint as c
left join pg_catalog.pg_attribute as a
    on
        a.attrelid = c.conrelid and a.attname = 'preferred_mechanic_id'
        and c.contype = 'f' and c.conkey = array[a.attnum]
where
    c.conrelid = to_regclass('public.session_requests')
    and c.conname = 'session_requests_preferred_mechanic_id_fkey'
    and a.attnum is null
union all
select
    format(
        '%s is of something else', pg_describe_object('pg_catalog.pg_class'::regclass, r.oid, 0)
    ),
    'rename it'
from pg_catalog.pg_class as r
left join pg_catalog.pg_index as i
    on i.indexrelid = r.oid and i.indrelid = to_regclass('public.session_requests')
where
    r.relnamespace = to_regnamespace('public')
    and r.relname in (
        'session_requests_preferred_mechanic_idx', 'session_requests_priority_notified_idx'
    )
    and i.indexrelid is null
union all
-- Its columns were written down when it was made, and are compared with the table's at each call.
select
    format(
        'function %s returns the columns that session_requests has now', p.oid::regprocedure
    ),
    'make it anew with its body in quotes (as $$ … $$): with three more columns it fails'
from pg_catalog.pg_proc as p
inner join pg_catalog.pg_class as r on r.oid = to_regclass('public.session_requests')
where
    p.prosqlbody is not null and p.prorettype = r.reltype
    and pg_get_function_sqlbody(p.oid) !~ '\.\*'
    and not exists (
        select from pg_catalog.pg_attribute as a
        where
            a.attrelid = r.oid and a.attname = 'priority_notified_at' and not a.attisdropped
    )
union all
-- As the audit trigger of PostgreSQL's manual does: every write would fail.
select
    format('trigger function %s inserts whole rows of session_requests', i.function),
    format(
        'name its columns, or first alter table %s add preferred_mechanic_id uuid, '
        'add priority_window_minutes integer, add priority_notified_at timestamptz', i.target
    )
from (
    select
        p.oid::regprocedure as function,
        substring(
            p.prosrc,
            '(?i)insert\s+into\s+([\w."]+)\s+(?:select|values\s*\()'
            '\s*(?:[^;]*,\s*)?\(?(?:old|new)\)?\.\*'
        ) as target
    from pg_catalog.pg_proc as p
    where
        p.oid in (
            select t.tgfoid from pg_catalog.pg_trigger as t
            where t.tgrelid = to_regclass('public.session_requests')
        )
) as i
where
    i.target is not null
    and not exists (
        select from pg_catalog.pg_attribute as a
        where
            a.attrelid in (
                to_regclass('public.session_requests'), to_regclass(i.target),
                to_regclass('public.' || i.target)
            )
            and a.attname = 'priority_notified_at' and not a.attisdropped
    );
