-- What the feature needs of the platform, and that its columns are not somebody else's.
insert into pg_temp.missing (what, remedy)
select 'the platform is not installed', 'run sql/platform/up.sql, or push its migration'
where
    to_regclass('public.session_requests') is null
    or to_regclass('public.mechanics') is null
    or to_regprocedure('dispatch.sweep(integer,timestamptz)') is null
    or 5 <> (
        select count(*) from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        where
            t.tgrelid = to_regclass('public.session_requests')
            and p.pronamespace = to_regnamespace('dispatch')
    )
union all
select
    case
        when a.atttypid <> to_regtype(w.type)
            then
                format(
                    'column session_requests.%s is %s, not %s',
                    w.name, format_type(a.atttypid, a.atttypmod), w.type
                )
        else format('column session_requests.%s is the marketplace''s own', w.name)
    end,
    format('alter table public.session_requests rename column %s to …', w.name)
from (
    values
    ('preferred_mechanic_id', 'uuid'),
    ('priority_window_minutes', 'integer'),
    ('priority_notified_at', 'timestamptz')
) as w (name, type)
inner join pg_catalog.pg_attribute as a
    on a.attrelid = to_regclass('public.session_requests') and a.attname = w.name
where
    not a.attisdropped
    and (
        a.atttypid <> to_regtype(w.type)
        -- The foreign key came with our columns, all three at once.
        or not exists (
            select from pg_catalog.pg_constraint as c
            where
                c.conrelid = a.attrelid and c.contype = 'f'
                and c.conname = 'session_requests_preferred_mechanic_id_fkey'
        )
    );
