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
    and a.attname = 'preferred_mechanic_id' and c.confrelid <> to_regclass('public.mechanics');
