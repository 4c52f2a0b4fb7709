-- Of what the view reads only ids: all else but the approval may change as often as it likes. Other
-- ids of theirs (a workshop's, an inviter's) are left alone: PostgreSQL lets no column go, nor
-- change its type, that a trigger names.
create or replace function dispatch.watched_columns()
returns name[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        with recursive views as (
            select to_regclass('dispatch.mechanics')::oid as oid
            union
            select d.refobjid
            from views as v
            inner join pg_catalog.pg_rewrite as r on r.ev_class = v.oid
            inner join pg_catalog.pg_depend as d
                on
                    d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                    and d.refclassid = 'pg_catalog.pg_class'::regclass
        ),

        watched as (
            select unnest(dispatch.approval_columns())::name as name
            union
            select a.attname
            from views as v
            inner join pg_catalog.pg_rewrite as r on r.ev_class = v.oid
            inner join pg_catalog.pg_depend as d
                on
                    d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                    and d.refclassid = 'pg_catalog.pg_class'::regclass
                    and d.refobjid = to_regclass('public.mechanics')
            inner join pg_catalog.pg_attribute as a
                on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            inner join pg_catalog.pg_type as y on y.oid = a.atttypid
            where
                not dispatch.governs_all()
                and coalesce(nullif(y.typbasetype, 0), y.oid) = 'uuid'::regtype
        )

        -- A trigger before the update cannot name what is computed, but what it is computed of.
        select distinct coalesce(b.attname, w.name) as name
        from watched as w
        left join pg_catalog.pg_attribute as a
            on
                a.attrelid = to_regclass('public.mechanics') and a.attname = w.name
                and a.attgenerated <> ''
        left join pg_catalog.pg_attrdef as f on f.adrelid = a.attrelid and f.adnum = a.attnum
        left join pg_catalog.pg_depend as d
            on
                d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid
                and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = a.attrelid
                and d.refobjsubid <> a.attnum
        left join pg_catalog.pg_attribute as b
            on b.attrelid = d.refobjid and b.attnum = d.refobjsubid
        where a.attnum is null or b.attnum is not null
        order by 1
    );
end;
$$;

comment on function dispatch.watched_columns() is
'The columns of public.mechanics whose change may end a window: those of the approval, and those '
'by which the binding finds who a mechanic is.';
revoke all on function dispatch.watched_columns() from public, anon, authenticated, service_role;
