-- On a marketplace that was there first. An index that was its own stays as it is.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'index ' || w.name as check_name,
        coalesce(
            i.indisvalid and i.indisready and (w.is_theirs or d.keys = w.keys), false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run up.sql'
            when not (i.indisvalid and i.indisready) then 'invalid: drop it and run up.sql'
            when w.is_theirs then 'was here before, and stays as it was'
            when d.keys <> w.keys then 'another: drop it and run up.sql'
            else 'valid, ' || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        select
            v.name,
            v.keys,
            v.name = any(current_setting('favorites_priority.found_before')::text[]) as is_theirs
        from (
            values
            (
                'session_requests_preferred_mechanic_idx',
                'preferred_mechanic_id WHERE preferred_mechanic_id IS NOT NULL'
            ),
            (
                'session_requests_priority_notified_idx',
                'priority_notified_at WHERE priority_notified_at IS NOT NULL'
            )
        ) as v (name, keys)
    ) as w
    left join pg_catalog.pg_index as i
        on
            i.indexrelid = to_regclass('public.' || w.name)
            and i.indrelid = to_regclass('public.session_requests')
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING btree ', ''), '()', ''
    ) as d (keys)
) as c
\gset

-- Their conditions keep every statement that names no favourite free of ours.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'trigger ' || w.name as check_name,
        coalesce(
            g.tgenabled in ('O', 'A')
            and translate(pg_get_triggerdef(g.oid), '()', '') like
            '% ' || w.moment || ' ON public.session_requests FOR EACH ROW WHEN ' || w.condition
            || ' EXECUTE FUNCTION dispatch.' || w.function,
            false
        ) as ok,
        case
            when g.oid is null then 'missing: run up.sql'
            when g.tgenabled not in ('O', 'A') then 'disabled: alter table … enable trigger …'
            else regexp_replace(pg_get_triggerdef(g.oid), '^.* TRIGGER \S+ ', '')
        end as detail
    from (
        values
        (
            '00_dispatch_guard', 'BEFORE UPDATE', 'guard_reservation',
            'old.priority_notified_at IS NOT NULL'
        ),
        (
            'zzz_dispatch_guard', 'BEFORE UPDATE', 'guard_reservation',
            'old.priority_notified_at IS NOT NULL'
        ),
        (
            'zzz_dispatch_open_window', 'BEFORE INSERT', 'route_request',
            'new.preferred_mechanic_id IS NOT NULL'
        ),
        (
            '00_dispatch_log_insert', 'AFTER INSERT', 'log_window',
            'new.preferred_mechanic_id IS NOT NULL'
        ),
        (
            '00_dispatch_log_update', 'AFTER UPDATE', 'log_request_change',
            'old.priority_notified_at IS NOT NULL'
        ),
        (
            '00_dispatch_log_delete', 'AFTER DELETE', 'log_request_change',
            'old.priority_notified_at IS NOT NULL'
        )
    ) as w (name, moment, function, condition)
    left join pg_catalog.pg_trigger as g
        on g.tgname = w.name and g.tgrelid = to_regclass('public.session_requests')
) as c
\gset

-- Triggers of one moment run in the order of their names: the guard must be the first before an
-- update, and the last, the window be opened by the last before an insert, and what is logged be
-- logged before theirs write the row again. One that only audits may come first; what a function
-- that it calls may write nobody can say by its text.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'order of the triggers' as check_name,
        count(*) filter (where g.is_between) = 0 as ok,
        coalesce(
            string_agg(
                case
                    when not g.is_between
                        then 'NOTE: if what it calls writes to session_requests, '
                    else ''
                end
                || format(
                    'rename %s, which runs %s ours: alter trigger %I on public.session_requests '
                    'rename to …',
                    g.tgname, g.place, g.tgname
                ),
                '; ' order by not g.is_between asc, g.tgname asc
            ),
            'ours are the first and the last'
        ) as detail
    from (
        select
            t.tgname,
            case when t.tgname < '00_dispatch_log' then 'before' else 'after' end as place,
            t.tgtype & 2 = 2
            or translate(p.prosrc, '"', '')
            ~* '\m(update|into|delete\s+from)\s+(only\s+)?(public\.)?session_requests\M'
                as is_between
        from pg_catalog.pg_trigger as t
        inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
        where
            t.tgrelid = to_regclass('public.session_requests') and not t.tgisinternal
            -- pg_trigger.h: for each row 1, before 2, insert 4, update 16
            and t.tgtype & 1 = 1
            -- One that waits for the commit comes after all that do not, whatever its name.
            and not t.tginitdeferred
            and case
                when t.tgtype & 2 = 0 then t.tgname < '00_dispatch_log'
                else
                    (
                        t.tgtype & 16 = 16
                        and (
                            t.tgname < '00_dispatch_guard'
                            or t.tgname > 'zzz_dispatch_guard'
                        )
                    )
                    or (t.tgtype & 4 = 4 and t.tgname > 'zzz_dispatch_open_window')
            end
            and t.tgname not in ('zzz_dispatch_guard', 'zzz_dispatch_open_window')
    ) as g
) as c
\gset

-- Whatever their policies show, a reserved request is hidden from the others.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'policy dispatch_reserved' as check_name,
        coalesce(
            p.permissive = 'RESTRICTIVE' and p.cmd = 'ALL' and p.roles = array['public']::name[]
            -- The operator of a status that is citext is written out.
            and p.qual ~ 'NOT dispatch\.favorites_priority_enabled\(\)\) OR '
            '.*priority_notified_at IS NULL\).* OR .*status.*<>.* ''pending''.* OR '
            '.*CURRENT_USER = .* OR .*NOT dispatch\.is_reserved_for_another\(\(?id\M'
            -- By another name the owner is one of those that it binds.
            and position(format('CURRENT_USER = %L::name', n.owner) in p.qual) > 0
            and p.with_check = 'true',
            false
        ) as ok,
        case
            when p.policyname is null then 'missing: run up.sql'
            else
                coalesce(
                    (
                        select
                            'NOTE: with the flag on no index serves '
                            || string_agg(t.policyname, ', ' order by t.policyname)
                            || ': let them ask (select auth.uid()), once for a query; '
                        from pg_catalog.pg_policies as t
                        where
                            t.schemaname = p.schemaname and t.tablename = p.tablename
                            and t.permissive = 'PERMISSIVE' and t.cmd in ('SELECT', 'ALL')
                            and regexp_replace(t.qual, 'SELECT auth\.\w+\(\)', '', 'g')
                            ~ '\mauth\.\w+\(\)'
                    ),
                    ''
                )
                || lower(p.permissive || ', for ' || p.cmd || ' to ')
                || array_to_string(p.roles, ', ') || ': ' || coalesce(p.qual, '')
        end as detail
    from (select 'dispatch_reserved'::name as name) as w
    left join (
        select pg_get_userbyid(s.nspowner) as owner from pg_catalog.pg_namespace as s
        where s.nspname = 'dispatch'
    ) as n on true
    left join pg_catalog.pg_policies as p
        on
            p.schemaname = 'public' and p.tablename = 'session_requests'
            and p.policyname = w.name
    union all
    -- Whoever may read their table runs its policies.
    select
        'grant on ' || w.name,
        coalesce(has_function_privilege('public', p.oid, 'execute'), false),
        case
            when has_function_privilege('public', p.oid, 'execute') then 'to public'
            else 'missing: clients get errors from session_requests; run up.sql'
        end
    from (
        values
        ('favorites_priority_enabled', 'dispatch.favorites_priority_enabled()'),
        ('is_reserved_for_another', 'dispatch.is_reserved_for_another(uuid)')
    ) as w (name, signature)
    cross join lateral (select to_regprocedure(w.signature)::oid as oid) as p
) as c
\gset
