-- What the feature needs of the engine, and that columns of its names will do.
insert into pg_temp.missing (what, remedy)
select 'the engine is not installed', 'run sql/engine/up.sql, or push its migration'
where
    to_regclass('dispatch.requests') is null
    or to_regprocedure('dispatch.sweep(integer,timestamptz)') is null
union all
select 'the engine is of an earlier version', 'run sql/engine/up.sql, or push its migration'
where
    to_regclass('dispatch.requests') is not null
    and to_regprocedure('dispatch.watched_columns()') is null
union all
-- Those that inherit it get the columns, too, or have them already.
select
    format(
        'column %s.%s is %s, not %s',
        c.relname, w.name, format_type(a.atttypid, a.atttypmod), w.type
    ),
    format('alter table %s rename column %s to …', c.oid::regclass, w.name)
from (
    values
    ('preferred_mechanic_id', 'uuid'),
    ('priority_window_minutes', 'integer'),
    ('priority_notified_at', 'timestamptz')
) as w (name, type)
inner join pg_catalog.pg_attribute as a on a.attname = w.name
inner join pg_catalog.pg_class as c on c.oid = a.attrelid
where
    not a.attisdropped and a.atttypid <> to_regtype(w.type)
    and a.attrelid in (
        with recursive t as (
            select to_regclass('public.session_requests')::oid as oid
            union
            select h.inhrelid from t inner join pg_catalog.pg_inherits as h on h.inhparent = t.oid
        )

        select t.oid from t
    )
union all
select
    format('column session_requests.%s is computed', a.attname),
    format('alter table public.session_requests rename column %s to …', a.attname)
from pg_catalog.pg_attribute as a
where
    a.attrelid = to_regclass('public.session_requests') and not a.attisdropped
    and a.attname in ('preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at')
    and a.attgenerated <> ''
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
    );

-- As the audit triggers of PostgreSQL's manual do, of a row and of a statement, or read anew: every
-- write would fail. By execute it may be any table: one that has all columns that session_requests
-- has, by their names, or (one may have another name since) by their types, one after the other.
insert into pg_temp.missing (what, remedy)
select
    format('trigger function %s inserts whole rows of session_requests', i.function),
    case
        when i.is_listed then format('name its columns, as those of %s', i.target)
        else format(
            'name its columns, or first alter table %s add preferred_mechanic_id uuid, '
            'add priority_window_minutes integer, add priority_notified_at timestamptz', i.target
        )
    end
from (
    select
        f.function,
        m.found[1] as target,
        m.found[2] is not null as is_listed,
        coalesce(
            to_regclass(m.found[1]),
            case when m.found[1] !~ '\.' then to_regclass('public.' || m.found[1]) end
        ) as relation
    from (
        select
            p.oid::regprocedure as function,
            b.text,
            n.tables,
            -- What stands for whole rows there: transition tables and itself, by other names too,
            -- and variables of its type.
            concat_ws(
                '|', 'old', 'new', n.tables,
                (
                    select string_agg(a.found[1], '|')
                    from
                        regexp_matches(
                            b.text, '(?i)\m(?:' || n.tables || ')"?\s+(?:as\s+)?([a-z_]\w*)', 'g'
                        ) as a (found)
                ),
                (
                    select string_agg(v.found[1], '|')
                    from
                        regexp_matches(
                            b.text,
                            '(?i)\m([a-z_]\w*)\s+(?:constant\s+)?(?:public\.)?session_requests'
                            '(?:%rowtype)?\s*(?:;|:?=|\mdefault\M)',
                            'g'
                        ) as v (found)
                )
            ) as names,
            -- Part of a list, with as much in brackets as there may be: what a function is given
            -- (of to_jsonb(new.*), say) is one value.
            '(?:[^;()]|\((?:[^;()]|\((?:[^;()]|\((?:[^;()]|\([^;()]*\))*\))*\))*\))*' as list
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        -- Without its comments; and without the texts, if none is executed.
        cross join
            lateral regexp_replace(
                p.prosrc,
                '(\me''(?:[^''\\]|\\.|'''')*''|''(?:[^'']|'''')*'')|--[^\n]*'
                '|/\*[^*]*\*+(?:[^*/][^*]*\*+)*/',
                '\1',
                'gi'
            ) as w (text)
        cross join
            lateral (
                select
                    case
                        when w.text ~* '\mexecute\M' then w.text
                        else regexp_replace(
                            w.text,
                            '\me''(?:[^''\\]|\\.|'''')*''|''(?:[^'']|'''')*''',
                            'null',
                            'gi'
                        )
                    end
            ) as b (text)
        cross join
            lateral concat_ws('|', 'session_requests', t.tgoldtable, t.tgnewtable) as n (tables)
        where t.tgrelid = to_regclass('public.session_requests') and not t.tgisinternal
    ) as f
    cross join
        regexp_matches(
            f.text,
            '(?i)\minsert\s+into\s+((?:[a-z_]\w*|"[^"]+")(?:\.(?:[a-z_]\w*|"[^"]+"))?)\s*'
            '(?:\mas\s+\w+\s*)?(\([^()]*\))?\s*(?:\moverriding\s+\w+\s+value\s*)?\(?\s*'
            '(?:\mtable\s+(?:only\s+)?(?:"?public"?\.)?"?(?:' || f.tables || ')\M|'
            '(?:\mselect\M|\mvalues\s*(?:\(' || f.list || '\)\s*,\s*)*\()\s*(?:' || f.list
            || ',\s*)?(?:\(?"?(?:' || f.names || ')"?\)?\.\*|'
            '\*\s*(?:,[^;]*)?\sfrom\s+(?:only\s+)?(?:"?public"?\.)?"?(?:' || f.tables || ')\M))',
            'g'
        ) as m (found)
    union
    select p.oid::regprocedure, c.oid::regclass::text, false, c.oid::regclass
    from pg_catalog.pg_trigger as t
    inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
    cross join pg_catalog.pg_class as c
    where
        t.tgrelid = to_regclass('public.session_requests')
        and p.prosrc ~* '\mexecute\M'
        and p.prosrc ~* (
            'insert\s+into[^;]*(?:\mselect\M|\mvalues\s*\(|,)\s*'
            '(?:\(?\$\d+|\([^;]*::\s*[\w."%]+)\s*\)?\s*\.\*'
        )
        and c.relkind in ('r', 'p') and c.oid <> t.tgrelid
        and not exists (
            select from pg_catalog.pg_inherits as h
            where h.inhrelid = c.oid and h.inhparent = t.tgrelid
        )
        and (
            not exists (
                select from pg_catalog.pg_attribute as a
                where
                    a.attrelid = t.tgrelid and a.attnum > 0 and not a.attisdropped
                    and not exists (
                        select from pg_catalog.pg_attribute as b
                        where b.attrelid = c.oid and b.attname = a.attname and not b.attisdropped
                    )
            )
            or exists (
                select from generate_series(0, c.relnatts) as s (before)
                where
                    not exists (
                        select
                        from (
                            select x.typcategory, x.oid, row_number() over (order by a.attnum) as n
                            from pg_catalog.pg_attribute as a
                            inner join pg_catalog.pg_type as x on x.oid = a.atttypid
                            where a.attrelid = t.tgrelid and a.attnum > 0
                        ) as a
                        left join (
                            select b.atttypid, row_number() over (order by b.attnum) as n
                            from pg_catalog.pg_attribute as b
                            where b.attrelid = c.oid and b.attnum > 0 and not b.attisdropped
                        ) as b
                            on
                                b.n = a.n + s.before
                                and (
                                    b.atttypid = a.oid
                                    -- An enum, kept as a text.
                                    or (
                                        b.atttypid = 'text'::regtype and a.typcategory in ('S', 'E')
                                    )
                                )
                        where b.n is null
                    )
            )
        )
) as i
where
    not exists (
        select from pg_catalog.pg_attribute as a
        where
            (
                a.attrelid = to_regclass('public.session_requests')
                or a.attrelid = i.relation and not i.is_listed
            )
            and a.attname = 'priority_notified_at' and not a.attisdropped
    )
    -- It, and what inherits it, gets them itself. What has fewer columns takes none of its rows
    -- now: then they are another table's, whose trigger this is, too.
    and not exists (
        select from pg_catalog.pg_class as c
        inner join pg_catalog.pg_class as r on r.oid = to_regclass('public.session_requests')
        left join pg_catalog.pg_inherits as h on h.inhrelid = c.oid and h.inhparent = r.oid
        where
            c.oid = i.relation
            and (
                c.oid = r.oid or h.inhrelid is not null
                or (
                    not i.is_listed
                    and (
                        select count(*) from pg_catalog.pg_attribute as a
                        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                    ) < (
                        select count(*) from pg_catalog.pg_attribute as a
                        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
                    )
                )
            )
    );
