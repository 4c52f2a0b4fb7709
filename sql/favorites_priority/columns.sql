-- What is there before is the marketplace's own, and stays so (dispatch.found_before); noted once,
-- as whatever stops up.sql, it is run again.
\ir remember_found.sql
insert into dispatch.found_before (what)
select f.what
from (
    select 'noted by up.sql' as what
    union all
    select a.attname::text from pg_catalog.pg_attribute as a
    where
        a.attrelid = 'public.session_requests'::regclass and not a.attisdropped
        and a.attname in (
            'preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at'
        )
    union all
    select c.relname::text from pg_catalog.pg_class as c
    where
        c.relnamespace = 'public'::regnamespace
        and c.relname in (
            'session_requests_preferred_mechanic_idx', 'session_requests_priority_notified_idx',
            'session_requests_priority_deadline_idx'
        )
) as f
where not exists (select from dispatch.found_before);
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
        select w.name, w.description
        from (
            values
            (
                'preferred_mechanic_id',
                'The favourite who is told first and alone; null: broadcast.'
            ),
            ('priority_window_minutes', 'Length of the priority window in minutes, 1 to 60.'),
            ('priority_notified_at', 'When the priority window began.')
        ) as w (name, description)
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
