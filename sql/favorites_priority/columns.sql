create temporary table feature_columns on commit drop as
select *
from (
    values
    ('preferred_mechanic_id', 'The favourite who is told first and alone; null: broadcast.'),
    ('priority_window_minutes', 'Length of the priority window in minutes, 1 to 60.'),
    ('priority_notified_at', 'When the priority window began.')
) as w (name, description);

-- What is there before is the marketplace's own, and stays so (dispatch.found_before); noted once,
-- as whatever stops up.sql, it is run again. But not what bears the comment of ours, nor an index
-- of that: they came with a dump of the schema public alone.
\ir remember_found.sql
insert into dispatch.found_before (what)
select f.what
from (
    select 'noted by up.sql' as what, null as of_column
    union all
    select c.name as what, c.name as of_column from pg_temp.feature_columns as c
    union all
    select i.name, i.of_column
    from (
        values
        ('session_requests_preferred_mechanic_idx', 'preferred_mechanic_id'),
        ('session_requests_priority_notified_idx', 'priority_notified_at'),
        ('session_requests_priority_deadline_idx', 'priority_notified_at')
    ) as i (name, of_column)
    where to_regclass('public.' || i.name) is not null
) as f
left join pg_temp.feature_columns as w on w.name = f.of_column
left join pg_catalog.pg_attribute as a
    on
        a.attrelid = 'public.session_requests'::regclass and a.attname = f.of_column
        and not a.attisdropped
where
    not exists (select from dispatch.found_before)
    and (a.attnum is not null or w.name is distinct from f.what)
    and (w.name is null or col_description(a.attrelid, a.attnum) is distinct from w.description);
do $$
begin
    execute pg_catalog.format(
        'comment on column dispatch.found_before.what is %L',
        'Rows when up.sql was last run: '
        || array(select b.what from dispatch.found_before as b order by b.what)::text
    );
end;
$$;

-- One of an earlier up.sql, of another expression: indexes_ours.sql builds it anew.
do $$
begin
    if
        exists (
            select from pg_catalog.pg_index as i
            where
                i.indexrelid = to_regclass('public.session_requests_priority_deadline_idx')
                and pg_get_indexdef(i.indexrelid) not like '%CASE%'
        )
        and not exists (
            select from dispatch.found_before as b
            where b.what = 'session_requests_priority_deadline_idx'
        )
    then
        drop index public.session_requests_priority_deadline_idx;
    end if;
end;
$$;

-- Nullable and without a default: no row is read or written, for the foreign key neither.
alter table public.session_requests
add column if not exists preferred_mechanic_id uuid
constraint session_requests_preferred_mechanic_id_fkey
references public.mechanics (id) on delete set null,
add column if not exists priority_window_minutes integer,
add column if not exists priority_notified_at timestamptz;

do $$
declare
    v_column record;
begin
    for v_column in
        select w.name, w.description from pg_temp.feature_columns as w
        where w.name not in (select b.what from dispatch.found_before as b)
    loop
        if v_column.name = 'preferred_mechanic_id' then
            -- As of the other ids (sql/marketplace/policies.sql): no estimate tells for whom they are.
            -- (A table that inherits it may have a column of its own, which would keep that.)
            alter table only public.session_requests
            alter preferred_mechanic_id set statistics 0;
        end if;
        execute pg_catalog.format(
            'comment on column public.session_requests.%I is %L',
            v_column.name, v_column.description
        );
    end loop;
end;
$$;
