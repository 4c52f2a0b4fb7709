-- The binding: what the engine reads the marketplace through. Every other part is built on it.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'binding ' || w.name as check_name,
        bool_and(coalesce(a.atttypid = to_regtype(split_part(n.text, ' ', 2)), false)) as ok,
        coalesce(
            'missing or of another type: '
            || string_agg(split_part(n.text, ' ', 1), ', ')
            filter (
                where a.atttypid is distinct from to_regtype(split_part(n.text, ' ', 2))
            )
            || ' (run sql/engine/up.sql)',
            count(*) || ' columns'
        ) as detail
    from (
        values
        (
            'dispatch.mechanics',
            'id uuid, user_id uuid, display_name text, is_approved boolean, is_online boolean, '
            'last_seen_at timestamptz, brands text[], city text, country text'
        ),
        (
            'dispatch.plans',
            'code text, title text, session_type text, price_cents integer, currency text, '
            'is_active boolean'
        ),
        ('dispatch.favorites', 'customer_id uuid, mechanic_id uuid, favorited_at timestamptz'),
        (
            'dispatch.requests',
            'id uuid, created_at timestamptz, customer_id uuid, mechanic_user_id uuid, '
            'session_type text, plan_code text, status text, is_pending boolean, '
            'accepted_at timestamptz, ended_at timestamptz, expires_at timestamptz, '
            'requested_brand text, customer_city text, customer_country text, '
            'preferred_mechanic_id uuid, preferred_user_id uuid, window_minutes integer, '
            'window_began_at timestamptz, '
            'window_ends_at timestamptz, announced_at timestamptz, is_urgent boolean'
        ),
        (
            'dispatch.payments',
            'request_id uuid, checkout_session_id text, payment_intent text, is_refunded boolean, '
            'is_expired boolean, expires_at timestamptz, is_cancelled boolean, '
            'is_accepted boolean, mechanic_id uuid, customer_id uuid, '
            'changed_at timestamptz, amount_total jsonb, currency text'
        )
    ) as w (name, columns)
    cross join unnest(string_to_array(w.columns, ', ')) as n (text)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass(w.name) and a.attname = split_part(n.text, ' ', 1)
            and not a.attisdropped
    group by w.name
    union all
    select
        'binding dispatch.' || w.name,
        coalesce(
            p.prorettype = to_regtype(w.type) and p.provolatile = 'i'
            and b.body !~* '\mnull\M',
            false
        ),
        coalesce(
            pg_get_function_result(p.oid)
            || case
                when p.provolatile <> 'i' then ', not immutable'
                when b.body ~* '\mnull\M' then ', and returns null'
            end,
            pg_get_function_result(p.oid),
            'missing: run sql/engine/up.sql with the binding'
        )
    from (
        values
        ('governs_all', 'boolean'),
        ('assigns_user_id', 'boolean'),
        ('approval_columns', 'text[]'),
        ('feed_is_private', 'boolean'),
        ('taken_off', 'text'),
        ('open_to', 'text')
    ) as w (name, type)
    left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(format('dispatch.%I()', w.name))
    -- Without the texts in it.
    cross join regexp_replace(p.prosrc, '''[^'']*''|(\$\w*\$).*?\1', '', 'g') as b (body)
) as c
\gset

-- What the marketplace has no column for goes through the views all the same.
\if :governs_all
\else
-- A column of theirs may hold something else now, or be computed. Explained, what a booking writes
-- is planned and not run. And what the binding says of a row must be what was made of it.
do $$
declare
    v_booking text;
    v_argument record;
    v_fault text := '';
    v_stopped text := 'no booking can be written';
begin
    for v_argument in
        select p.prosrc, a.name, format_type(a.type, null) as type
        from pg_catalog.pg_proc as p
        cross join unnest(p.proargnames, p.proargtypes::oid[]) as a (name, type)
        where p.pronamespace = to_regnamespace('dispatch') and p.proname = 'insert_request'
    loop
        v_booking := regexp_replace(
            coalesce(v_booking, substring(v_argument.prosrc from 'insert into [^;]+')),
            '\m' || v_argument.name || '\M', 'null::' || v_argument.type, 'g'
        );
    end loop;
    if v_booking is not null then
        execute 'explain ' || v_booking;
        v_stopped := 'no accept can be written';
        execute 'explain update public.session_requests set status = status where false returning id';
        v_stopped := 'no request is open to anybody, by dispatch.open_to()';
        execute 'explain select from public.session_requests where (' || dispatch.open_to()
            || ') is true';
        select
            case
                when strpos(p.prosrc, '(' || dispatch.taken_off() || ') is true') = 0
                    then 'dispatch.taken_off() was changed, and is not read yet'
                when (p.prosrc like '%m.id = r.mechanic\_id)%') = dispatch.assigns_user_id()
                    then 'dispatch.assigns_user_id() was changed, and is not read yet'
                when strpos(o.prosrc, '(' || dispatch.open_to() || ') is true') = 0
                    then 'dispatch.open_to() was changed, and is not read yet'
                when
                    exists (
                        select from pg_catalog.pg_attribute as a
                        inner join pg_catalog.pg_attrdef as d
                            on d.adrelid = a.attrelid and d.adnum = a.attnum
                        where
                            a.attrelid = to_regclass('public.session_requests')
                            and a.attgenerated <> ''
                            and strpos(p.prosrc, 'r.' || quote_ident(a.attname)) > 0
                            and strpos(
                                replace(p.prosrc, '"', ''),
                                replace(pg_get_expr(d.adbin, d.adrelid), '"', '')
                            ) = 0
                    )
                    then 'what a column computes was changed, and is not read yet'
                else ''
            end
        into v_fault
        from pg_catalog.pg_proc as p
        left join pg_catalog.pg_proc as o
            on o.pronamespace = p.pronamespace and o.proname = 'is_open_to'
        where p.pronamespace = to_regnamespace('dispatch') and p.proname = 'as_request';
    end if;
    perform set_config('favorites_priority.row_fault', coalesce(v_fault, ''), true);
exception
    -- A function that is missing is told below.
    when undefined_function then perform set_config('favorites_priority.row_fault', '', true);
    when assert_failure or others then
        perform set_config(
            'favorites_priority.row_fault',
            case
                -- By a publication: told below.
                when sqlstate in ('55000', '42P10') and v_stopped = 'no accept can be written' then ''
                else v_stopped || ': ' || sqlerrm
            end,
            true
        );
end;
$$;
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
            t.tgenabled in ('O', 'A') and t.tgfoid = to_regprocedure(w.function)
            and t.tgtype = 81,  -- instead of update, for each row
            not w.is_needed
        ) as ok,
        case
            when t.tgfoid <> to_regprocedure(w.function) or t.tgtype <> 81
                then 'another: drop it and run sql/engine/up.sql'
            when t.tgenabled in ('O', 'A') then 'enabled on ' || w.relation
            when t.oid is not null then 'disabled: alter table … enable trigger …'
            when w.is_needed then 'missing: run sql/engine/up.sql'
            else 'not needed: ' || w.relation || ' takes updates'
        end as detail
    from (
        values
        (
            'mechanics_remember_presence', 'dispatch.mechanics', 'dispatch.remember_presence()',
            not pg_column_is_updatable(
                to_regclass('dispatch.mechanics'),
                (
                    select a.attnum from pg_catalog.pg_attribute as a
                    where
                        a.attrelid = to_regclass('dispatch.mechanics')
                        and a.attname = 'is_online'
                ),
                false
            )
        ),
        ('requests_announce', 'dispatch.requests', 'dispatch.announce_window()', true)
    ) as w (name, relation, function, is_needed)
    left join pg_catalog.pg_trigger as t
        on t.tgname = w.name and t.tgrelid = to_regclass(w.relation)
    union all
    -- Made for the columns that there were (dispatch.bind_requests); theirs may go, or be renamed.
    select
        'columns of session_requests',
        coalesce(
            bool_and(a.attnum is not null)
            and current_setting('favorites_priority.row_fault') = '',
            false
        ),
        case
            when
                bool_and(a.attnum is not null)
                and current_setting('favorites_priority.row_fault') <> ''
                then
                    current_setting('favorites_priority.row_fault')
                    || ' (run sql/engine/up.sql)'
            when bool_and(a.attnum is not null) then count(*) || ' are read and written'
            else
                coalesce(
                    'no longer there: '
                    || string_agg(n.name, ', ' order by n.name) filter (where a.attnum is null),
                    'not known'
                )
                || ' (run sql/engine/up.sql)'
        end
    from (
        -- What takes a request off is in the binding's own words, with quoted names and texts.
        select coalesce(btrim(substring(m.found[1] from '^".*'), '"'), lower(m.found[1])) as name
        from pg_catalog.pg_proc as p
        cross join
            regexp_matches(
                case p.proname
                    when 'insert_request'
                        then substring(p.prosrc from 'session_requests \(([^)]*)\)')
                    else regexp_replace(p.prosrc, '''[^'']*''|(\$\w*\$).*?\1', '', 'g')
                end,
                case p.proname
                    when 'as_request' then '\mr\.([A-Za-z_][A-Za-z0-9_\u0080-\uffff]*|"[^"]+")'
                    when 'insert_request' then '[a-z_]+'
                    else '(?:set|,) ([a-z_]+) = '
                end,
                'g'
            ) as m (found)
        where
            p.pronamespace = to_regnamespace('dispatch')
            and p.proname in ('as_request', 'insert_request', 'assign_request', 'unassign_request')
        group by name
    ) as n
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass('public.session_requests') and a.attname = n.name
            and not a.attisdropped
) as c
\gset

-- The words of a status that the engine writes: a type of theirs, a CHECK of the status alone or a
-- table that it points to may know one no more.
do $$
declare
    v_type text;
    v_word text;
    v_rule record;
    v_is_known boolean;
    v_unknown text[] := '{}';
begin
    select format_type(a.atttypid, a.atttypmod) into v_type
    from pg_catalog.pg_attribute as a
    where a.attrelid = to_regclass('public.session_requests') and a.attname = 'status';
    foreach v_word in array
        case
            when v_type is null then '{}'
            else array['pending', 'accepted', 'cancelled', 'expired', 'completed']
        end
    loop
        begin
            execute format('select %L::%s', v_word, v_type);
            for v_rule in
                select
                    case k.contype
                        when 'c'
                            then format(
                                'select (%s) is not false from (select %L::%s as status) as s',
                                pg_get_expr(k.conbin, k.conrelid), v_word, v_type
                            )
                        else format(
                            'select exists (select from %s as s where s.%I = %L)',
                            k.confrelid::regclass, f.attname, v_word
                        )
                    end as query
                from pg_catalog.pg_constraint as k
                inner join pg_catalog.pg_attribute as a
                    on
                        a.attrelid = k.conrelid and a.attname = 'status'
                        and k.conkey = array[a.attnum]
                left join pg_catalog.pg_attribute as f
                    on f.attrelid = k.confrelid and f.attnum = k.confkey[1]
                where
                    k.conrelid = to_regclass('public.session_requests') and k.contype in ('c', 'f')
                    and (k.contype = 'c' or has_table_privilege(k.confrelid, 'select'))
                    and pg_get_constraintdef(k.oid) !~ ' NOT ENFORCED$'  -- from PostgreSQL 18 on
            loop
                execute v_rule.query into v_is_known;
                if not v_is_known then
                    v_unknown := array_append(v_unknown, v_word);
                    exit;
                end if;
            end loop;
        exception
            when invalid_text_representation or check_violation or string_data_right_truncation
                then v_unknown := array_append(v_unknown, v_word);
        end;
    end loop;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'words of a status',
                'ok', v_type is not null and v_unknown = '{}',
                'detail', case
                    when v_type is null then 'session_requests has no status'
                    when v_unknown = '{}' then 'all known'
                    else 'not known any more, and written by the engine: '
                        || array_to_string(v_unknown, ', ')
                end
            )
        )::text,
        true
    );
end;
$$;
\endif

-- All is done as the owner. Rows hidden from it: every favourite is unknown, nothing is due. What
-- it may not write is not booked; to lock a row takes as much as to change it.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'rows of the marketplace' as check_name,
        count(o.oid) > 0 and count(h.oid) = 0 as ok,
        coalesce(
            'row level security hides them from ' || min(o.rolname) || ', as whom the RPCs run: '
            || string_agg(distinct h.oid::regclass::text, ', ')
            || ' (alter role … bypassrls, or alter table … no force row level security, or a '
            'policy for all to that role)',
            'all seen by ' || min(o.rolname),
            'missing: run sql/engine/up.sql'
        ) as detail
    from pg_catalog.pg_namespace as n
    inner join pg_catalog.pg_roles as o on o.oid = n.nspowner
    left join (
        select
            c.oid,
            c.relowner,
            c.relnamespace,
            c.relforcerowsecurity,
            unnest(
                case
                    when c.oid = to_regclass('public.session_requests') then array['r', 'a', 'w']
                    when c.oid = to_regclass('auth.users') or c.relname = 'mechanics'
                        then array['r', 'w']
                    else array['r']
                end
            ) as cmd
        from pg_catalog.pg_class as c
        where c.relrowsecurity
    ) as h
        on
            not (o.rolbypassrls or o.rolsuper)
            and (h.relforcerowsecurity or not pg_has_role(o.oid, h.relowner, 'usage'))
            -- As dispatch.sees_rows.
            and not exists (
                select from pg_catalog.pg_policy as p
                cross join unnest(p.polroles) as g (oid)
                where
                    p.polrelid = h.oid and p.polpermissive
                    and p.polcmd::text in (h.cmd, '*')
                    and case
                        when g.oid = o.oid then true
                        when
                            'true' in (
                                pg_get_expr(p.polqual, p.polrelid),
                                pg_get_expr(p.polwithcheck, p.polrelid)
                            )
                            then g.oid = 0 or pg_has_role(o.oid, g.oid, 'usage')
                    end
            )
            and (
                -- To whom nobody is shown, each customer's account is gone.
                h.oid = to_regclass('auth.users')
                -- What the views read.
                or exists (
                    select from pg_catalog.pg_rewrite as r
                    inner join pg_catalog.pg_class as v on v.oid = r.ev_class
                    inner join pg_catalog.pg_depend as d
                        on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                    where
                        v.relnamespace = n.oid and h.relnamespace <> n.oid
                        and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = h.oid
                )
            )
    where n.nspname = 'dispatch'
) as c
\gset

-- The schema: its tables, closed to every client, and its functions open to whom they must be.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'schema dispatch' as check_name,
        coalesce(
            n.oid is not null
            and has_schema_privilege('authenticated', n.oid, 'usage')
            and has_schema_privilege('service_role', n.oid, 'usage')
            and not has_schema_privilege('anon', n.oid, 'usage, create')
            and not has_schema_privilege('authenticated', n.oid, 'create')
            and not has_schema_privilege('service_role', n.oid, 'create'),
            false
        ) as ok,
        case
            when n.oid is null then 'missing: run sql/engine/up.sql'
            else
                'usage: ' || coalesce(
                    (
                        select string_agg(r.role, ', ' order by r.role)
                        from unnest(array['anon', 'authenticated', 'service_role']) as r (role)
                        where has_schema_privilege(r.role, n.oid, 'usage')
                    ),
                    'nobody'
                )
                || (
                    select '; create: ' || string_agg(r.role, ', ' order by r.role)
                    from unnest(array['anon', 'authenticated', 'service_role']) as r (role)
                    where has_schema_privilege(r.role, n.oid, 'create')
                    having count(*) > 0
                )
                || ' (see sql/engine/schemas.sql)'
        end as detail
    from (select to_regnamespace('dispatch') as oid) as n
    union all
    select
        'tables of dispatch',
        coalesce(
            string_agg(c.relname, ', ' order by c.relname)
            = 'blocks, devices, found_before, presence, pushes, request_events, steps, '
            'stripe_events, unanswered, windows',
            false
        ),
        coalesce(string_agg(c.relname, ', ' order by c.relname), 'none: run sql/engine/up.sql')
    from pg_catalog.pg_class as c
    where
        c.relnamespace = to_regnamespace('dispatch') and c.relkind in ('r', 'p', 'f', 'm')
    union all
    select
        'row level security in dispatch',
        count(*) filter (where not c.relrowsecurity or p.is_open) = 0,
        coalesce(
            nullif(
                concat_ws(
                    '; ',
                    'off: ' || string_agg(c.relname, ', ' order by c.relname)
                    filter (where not c.relrowsecurity)
                    || ' (alter table dispatch.… enable row level security)',
                    'another policy than …_nobody, using (false): '
                    || string_agg(c.relname, ', ' order by c.relname) filter (where p.is_open)
                    || ' (drop it and run sql/engine/up.sql)'
                ),
                ''
            ),
            'on for ' || count(*)
        )
    from pg_catalog.pg_class as c
    cross join
        lateral (
            select
                count(*) <> 1 or not coalesce(
                    bool_and(
                        q.polname = c.relname || '_nobody' and q.polcmd = '*' and q.polpermissive
                        and q.polroles = array[0]::oid[]
                        and pg_get_expr(q.polqual, q.polrelid) = 'false'
                        and q.polwithcheck is null
                    ),
                    false
                ) as is_open
            from pg_catalog.pg_policy as q
            where q.polrelid = c.oid
        ) as p
    where c.relnamespace = to_regnamespace('dispatch') and c.relkind in ('r', 'p')
    union all
    -- What the engine keeps must be its owner's, survive a crash, and take every row.
    select
        'storage of dispatch',
        count(f.fault) = 0,
        coalesce(
            string_agg(f.fault, '; ' order by f.fault), count(distinct c.oid) || ' relations'
        )
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    inner join pg_catalog.pg_roles as o on o.oid = n.nspowner
    left join
        lateral (
            values
            (
                c.relowner <> n.nspowner,
                format('%s is another''s: alter … owner to %I', c.relname, o.rolname)
            ),
            (
                -- As it was written ("off", "false"): dead rows, and old ids, stay.
                concat_ws(
                    ',', array_to_string(c.reloptions, ','),
                    (
                        select array_to_string(t.reloptions, ',') from pg_catalog.pg_class as t
                        where t.oid = c.reltoastrelid
                    )
                ) ~* 'autovacuum_enabled=(off?|no?|f[a-z]*|0)\M',
                format(
                    '%s is not vacuumed: alter table … reset (autovacuum_enabled, '
                    'toast.autovacuum_enabled)',
                    c.relname
                )
            ),
            (
                c.relkind <> 'v' and c.relpersistence <> 'p',
                format(
                    '%s is lost in a crash: alter %s … set logged',
                    c.relname, case c.relkind when 'r' then 'table' else 'sequence' end
                )
            ),
            (
                c.relkind = 'r' and c.relforcerowsecurity
                and not (o.rolbypassrls or o.rolsuper),
                format(
                    '%s hides its rows from its owner: alter table … no force row level security',
                    c.relname
                )
            ),
            (
                -- A view is one itself.
                exists (
                    select from pg_catalog.pg_rewrite as r
                    where r.ev_class = c.oid and r.rulename <> '_RETURN'
                ),
                format('%s has a rule: drop it', c.relname)
            ),
            (
                c.relkind = 'r' and exists (
                    select from pg_catalog.pg_trigger as t
                    where t.tgrelid = c.oid and not t.tgisinternal
                ),
                format('%s has a trigger: drop it', c.relname)
            ),
            (
                -- (From PostgreSQL 18 on "not null" is one, too.)
                c.relkind = 'r' and exists (
                    select from pg_catalog.pg_constraint as k
                    where k.conrelid = c.oid and k.contype not in ('p', 'n')
                    union all
                    select from pg_catalog.pg_index as i
                    where
                        i.indrelid = c.oid and i.indisunique
                        -- Nor does one more of ours, as a "reindex … concurrently" makes it.
                        and not exists (
                            select from pg_catalog.pg_index as x
                            where
                                x.indrelid = c.oid and x.indkey = i.indkey
                                and x.indexprs::text is not distinct from i.indexprs::text
                                and (
                                    x.indisprimary
                                    or x.indexrelid
                                    = to_regclass('dispatch.stripe_events_checkout_key')
                                )
                        )
                ),
                format(
                    '%s refuses rows by a constraint or unique index of another''s: drop it',
                    c.relname
                )
            ),
            (
                c.relkind = 'v'
                and array_to_string(c.reloptions, ',') ~ 'security_invoker=(on|true|yes|1)',
                format('%s asks as its caller: alter view … reset (security_invoker)', c.relname)
            )
        ) as f (is_so, fault)
        on f.is_so
    where n.nspname = 'dispatch' and c.relkind in ('r', 'v', 'S')
    union all
    -- The ids of events are the clients' cursor: one after the other, by whichever session.
    select
        'sequences and views of dispatch',
        count(*) filter (where f.fault is not null) = 0,
        coalesce(string_agg(f.fault, '; ' order by w.name), 'as they must be')
    from (
        values
        ('request_events_id_seq', 'S', 1),
        ('pushes_id_seq', 'S', 1),
        ('scheduled_at', 'S', 0),
        ('last_delivery', 'S', 0),
        ('last_refusal', 'S', 0),
        ('metrics', 'v', null),
        ('exclusions', 'v', null)
    ) as w (name, kind, least)
    left join pg_catalog.pg_class as c
        on
            c.relnamespace = to_regnamespace('dispatch') and c.relname = w.name
            and c.relkind = w.kind
    left join pg_catalog.pg_sequence as s on s.seqrelid = c.oid
    cross join
        lateral (
            select
                case
                    when c.oid is null then w.name || ' is missing: run sql/engine/up.sql'
                    when
                        w.kind = 'S' and not (
                            s.seqincrement = 1 and s.seqcache = 1 and not s.seqcycle
                            and s.seqmin = w.least and s.seqmax = 9223372036854775807
                        )
                        then
                            w.name || ': alter sequence … increment 1 cache 1 no cycle minvalue '
                            || w.least || ' no maxvalue'
                    when
                        w.name = 'metrics'
                        and array(
                            select a.attname::text from pg_catalog.pg_attribute as a
                            where a.attrelid = c.oid and a.attnum > 0
                            order by a.attnum
                        ) <> array[
                            'day', 'requests_total', 'priority_requests_total',
                            'favourite_accepts_total', 'fallbacks_total', 'skipped_total',
                            'accepts_total', 'cancelled_total', 'expired_total',
                            'favourite_acceptance_ratio', 'fallback_ratio', 'accept_p50_seconds',
                            'accept_p95_seconds', 'sweep_lateness_p50_seconds',
                            'sweep_lateness_p95_seconds', 'sweep_lateness_max_seconds',
                            'pushes_sent_total', 'pushes_failed_total'
                        ]
                        then w.name || ' has other columns: drop it and run sql/engine/up.sql'
                end as fault
        ) as f
    union all
    select
        'grants in dispatch',
        count(g.oid) = 0,
        coalesce(
            'open: ' || string_agg(g.relname || ' to ' || g.role, ', ' order by g.relname, g.role)
            || ' (run sql/engine/up.sql)',
            'no table, view or sequence is open to a client'
        )
    from (
        select
            c.oid,
            c.relname,
            r.role
        from pg_catalog.pg_class as c
        cross join unnest(array['anon', 'authenticated', 'service_role']) as r (role)
        where
            c.relnamespace = to_regnamespace('dispatch')
            and case
                when c.relkind = 'S'
                    then has_sequence_privilege(r.role, c.oid, 'usage, select, update')
                when c.relkind in ('r', 'p', 'v', 'm', 'f')
                    then
                        has_any_column_privilege(
                            r.role, c.oid, 'select, insert, update, references'
                        )
                        or has_table_privilege(
                            r.role, c.oid,
                            'delete, truncate, '
                            || current_setting('favorites_priority.last_privileges')
                        )
            end
    ) as g
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'table dispatch.' || w.name as check_name,
        bool_and(a.attnum is not null and d.found = d.wanted) and min(o.names) is null as ok,
        coalesce(
            'other than ' || string_agg(n.text, ', ')
            filter (where a.attnum is null or d.found <> d.wanted)
            || ': see sql/engine/tables.sql',
            'has more, which nothing here fills: ' || min(o.names) || '; drop them',
            count(*) || ' columns'
        ) as detail
    from (
        values
        (
            'request_events',
            'id bigint not null generated always, request_id uuid not null, event text not null, '
            'actor_id uuid, topics text[] not null default ''{}''::text[], payload jsonb not null, '
            'created_at timestamptz not null default now(), delivered_at timestamptz'
        ),
        (
            'stripe_events',
            'id text not null, type text not null, payload jsonb not null, '
            'received_at timestamptz not null default now(), processed_at timestamptz, '
            'outcome text, error text, request_id uuid, subject text, scrubbed_at timestamptz'
        ),
        (
            'windows',
            'request_id uuid not null, ends_at timestamptz not null, announced_at timestamptz, '
            'closed_at timestamptz'
        ),
        (
            'presence',
            'mechanic_id uuid not null, is_online boolean not null, '
            'last_seen_at timestamptz not null'
        ),
        (
            'steps',
            'request_id uuid not null, turn integer not null, mechanic_id uuid not null, '
            'window_minutes integer not null'
        ),
        ('unanswered', 'mechanic_id uuid not null, windows integer not null'),
        (
            'blocks',
            'user_id uuid not null, other_id uuid not null, is_theirs boolean not null, '
            'created_at timestamptz not null default now()'
        ),
        (
            'devices',
            'endpoint text not null, user_id uuid not null, p256dh text not null, '
            'auth text not null, registered_at timestamptz not null default now()'
        ),
        (
            'pushes',
            'id bigint not null generated always, event_id bigint not null, '
            'request_id uuid not null, user_id uuid, '
            'endpoint text, is_reminder boolean not null default false, '
            'due_at timestamptz not null, expires_at timestamptz not null, '
            'attempts integer not null default 0, finished_at timestamptz, outcome text, '
            'status integer'
        ),
        ('found_before', 'what text not null')
    ) as w (name, columns)
    cross join unnest(string_to_array(w.columns, ', ')) as n (text)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = to_regclass('dispatch.' || w.name)
            and a.attname = split_part(n.text, ' ', 1) and not a.attisdropped
    left join pg_catalog.pg_attrdef as e on e.adrelid = a.attrelid and e.adnum = a.attnum
    cross join
        lateral (
            select string_agg(x.attname, ', ' order by x.attnum) as names
            from pg_catalog.pg_attribute as x
            where
                x.attrelid = to_regclass('dispatch.' || w.name) and x.attnum > 0
                and not x.attisdropped
                and x.attname <> all(
                    array(
                        select split_part(known.text, ' ', 1)
                        from unnest(string_to_array(w.columns, ', ')) as known (text)
                    )
                )
        ) as o
    cross join
        lateral (
            select
                concat_ws(
                    ' ',
                    format_type(a.atttypid, a.atttypmod),
                    case when a.attnotnull then 'not null' end,
                    case when a.attidentity = 'a' then 'generated always' end,
                    'default ' || pg_get_expr(e.adbin, e.adrelid)
                ) as found,
                concat_ws(
                    ' ',
                    to_regtype(split_part(n.text, ' ', 2)),
                    nullif(regexp_replace(n.text, '^\S+ \S+ ?', ''), '')
                ) as wanted
        ) as d
    group by w.name
    union all
    select
        'key of dispatch.' || w.name,
        coalesce(i.indisvalid and i.indisunique and i.indpred is null, false),
        case
            when k.oid is null
                then
                    'missing, and a row may be there twice: alter table … add constraint '
                    || w.name || '_pkey primary key (' || w.key || ')'
            when not i.indisvalid then 'its index is invalid: reindex it'
            else pg_get_constraintdef(k.oid)
        end
    from (
        values
        ('request_events', 'id'),
        ('stripe_events', 'id'),
        ('windows', 'request_id'),
        ('presence', 'mechanic_id'),
        ('steps', 'request_id, turn'),
        ('blocks', 'user_id, other_id, is_theirs'),
        ('unanswered', 'mechanic_id'),
        ('devices', 'endpoint'),
        ('pushes', 'id'),
        ('found_before', 'what')
    ) as w (name, key)
    left join pg_catalog.pg_constraint as k
        on
            k.conrelid = to_regclass('dispatch.' || w.name) and k.contype = 'p'
            and pg_get_constraintdef(k.oid) = 'PRIMARY KEY (' || w.key || ')'
    left join pg_catalog.pg_index as i on i.indexrelid = k.conindid
) as c
\gset

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
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not (i.indisvalid and i.indisready)
                then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'dispatch.request_events_excluded_idx', false,
            'request_id INCLUDE topics WHERE event '
            '= ANY ARRAY[''request_declined''::text, ''request_released''::text]'
        ),
        ('dispatch.request_events_first_topic_idx', false, 'topics[1], id'),
        (
            'dispatch.request_events_undelivered_idx', false,
            'delivered_at, id WHERE delivered_at IS NULL'
        ),
        (
            'dispatch.stripe_events_unprocessed_idx', false,
            'received_at WHERE processed_at IS NULL'
        ),
        ('dispatch.stripe_events_received_at_idx', false, 'received_at'),
        ('dispatch.steps_mechanic_id_idx', false, 'mechanic_id'),
        ('dispatch.devices_user_id_idx', false, 'user_id, registered_at'),
        ('dispatch.pushes_due_idx', false, 'due_at, id WHERE finished_at IS NULL'),
        (
            'dispatch.pushes_unaddressed_idx', false,
            'due_at WHERE finished_at IS NULL AND endpoint IS NULL'
        ),
        ('dispatch.pushes_event_id_idx', false, 'event_id WHERE finished_at IS NULL'),
        (
            'dispatch.pushes_finished_at_idx', false,
            'finished_at WHERE finished_at IS NOT NULL'
        ),
        (
            'dispatch.stripe_events_subject_idx', false,
            'outcome, subject WHERE subject IS NOT NULL'
        ),
        (
            'dispatch.windows_ends_at_idx', false,
            'ends_at WHERE announced_at IS NULL AND closed_at IS NULL'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset

\if :governs_all
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
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not (i.indisvalid and i.indisready)
                then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'public.mechanics_matches_idx', false,
            'gin dispatch.mechanic_wordsid, is_online, brands, city, country '
            'WITH fastupdate=off WHERE status = ''approved''::text'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset
\else
-- One Checkout Session is one request because of the first.
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
            i.indisvalid and i.indisready and i.indisunique = w.is_unique
            and d.keys = translate(w.keys, '()', ''),
            false
        ) as ok,
        case
            when i.indexrelid is null then 'missing: run sql/engine/up.sql'
            when not (i.indisvalid and i.indisready)
                then 'invalid: drop it and run sql/engine/up.sql'
            when i.indisunique <> w.is_unique or d.keys <> translate(w.keys, '()', '')
                then 'another: drop it and run sql/engine/up.sql'
            else
                case when w.is_unique then 'unique, ' else '' end || 'valid, '
                || pg_size_pretty(pg_relation_size(i.indexrelid))
        end as detail
    from (
        values
        (
            'dispatch.stripe_events_checkout_key', true,
            'payload #>> ''{data,object,id}''::text[] WHERE outcome = ''request_created''::text'
        ),
        (
            'dispatch.stripe_events_payment_idx', false,
            'payload #>> ''{data,object,payment_intent}''::text[] '
            'WHERE outcome = ''request_created''::text'
        ),
        (
            'dispatch.stripe_events_request_id_idx', false,
            'request_id WHERE outcome = ''request_created''::text'
        )
    ) as w (name, is_unique, keys)
    left join pg_catalog.pg_index as i on i.indexrelid = to_regclass(w.name)
    -- PostgreSQL 15.20 writes more parentheses than 15.18, and none of them matters here.
    cross join translate(
        regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING (btree |)', ''), '()', ''
    ) as d (keys)
) as c
\gset
\endif

-- A publication, of anybody's, with some columns or rows of a table alone, or of one without a key
-- to say which row it was, has each change of it refused. Explained, none is made.
do $$
declare
    v_table record;
    v_change text;
    v_reason text;
    v_refused text[] := '{}';
begin
    for v_table in
        select
            c.oid::regclass as name,
            (
                select a.attname from pg_catalog.pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                order by a.attnum limit 1
            ) as any_column,
            p.names
        from pg_catalog.pg_class as c
        cross join
            lateral (
                select string_agg(u.pubname, ', ' order by u.pubname) as names
                from pg_catalog.pg_publication as u
                where
                    u.puballtables
                    or exists (
                        select from pg_catalog.pg_publication_rel as r
                        where r.prpubid = u.oid and r.prrelid = c.oid
                    )
                    or exists (
                        select from pg_catalog.pg_publication_namespace as s
                        where s.pnpubid = u.oid and s.pnnspid = c.relnamespace
                    )
            ) as p
        where
            p.names is not null
            and (
                (c.relnamespace = to_regnamespace('dispatch') and c.relkind = 'r')
                -- What has triggers of ours.
                or (
                    c.relkind in ('r', 'p')
                    and c.oid in (
                        select t.tgrelid from pg_catalog.pg_trigger as t
                        inner join pg_catalog.pg_proc as f on f.oid = t.tgfoid
                        where f.pronamespace = to_regnamespace('dispatch')
                    )
                )
            )
        order by c.relname
    loop
        foreach v_change in array
            array[
                format('update %s set %I = default where false', v_table.name, v_table.any_column),
                format('delete from %s where false', v_table.name)
            ]
        loop
            begin
                execute 'explain ' || v_change;
            exception
                -- (By its name 55000 would stand for a lock that is not to be had, too.)
                when assert_failure or others then
                    if sqlstate in ('55000', '42P10') then
                        get stacked diagnostics v_reason = pg_exception_detail;
                        v_refused := v_refused || concat_ws(
                            ': ', sqlerrm, nullif(v_reason, ''), 'published by ' || v_table.names
                        );
                        exit;
                    -- What else stops it is told by other checks.
                    elsif sqlstate = '55P03' then
                        raise;
                    end if;
            end;
        end loop;
    end loop;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'publications of the tables',
                'ok', v_refused = '{}',
                'detail',
                coalesce(
                    nullif(array_to_string(v_refused, '; '), '')
                    || ' (alter table … replica identity default; or alter publication … drop table '
                    '…, and add it with all its columns and rows)',
                    'none has a change refused'
                )
            )
        )::text,
        true
    );
end;
$$;

-- What dispatch.insert_request leaves empty, or may (a name, notes). A trigger of theirs may fill
-- it; and who was there first may book by statements of their own alone. If a CHECK or a unique
-- key lets a booking in depends on what is booked: dispatch.health() says when one was refused.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'columns that a booking fills' as check_name,
        (e.names is null or t.fill or e.is_elsewhere) and e.nulls is null as ok,
        coalesce(
            'null is written in ' || e.nulls || ', which has no null now: run sql/engine/up.sql',
            case when t.fill or e.is_elsewhere then 'NOTE: ' else '' end
            || 'not null, without a default: ' || e.names
            || case
                when t.fill then '; a trigger must fill them'
                else
                    '; bookings by Stripe or request_free_session() are refused: alter column … '
                    'set default …, or drop not null'
            end,
            'no other must be'
        ) as detail
    from (
        select
            string_agg(a.attname, ', ' order by a.attnum) filter (where w.is_needed) as names,
            -- A default is written by whoever leaves the column out; dispatch.insert_request has it
            -- from when it was made.
            string_agg(a.attname, ', ' order by a.attnum) filter (where w.is_null) as nulls,
            not current_setting('favorites_priority.governs_all')::boolean as is_elsewhere
        from pg_catalog.pg_attribute as a
        inner join pg_catalog.pg_type as y on y.oid = a.atttypid
        left join pg_catalog.pg_proc as p
            on p.pronamespace = to_regnamespace('dispatch') and p.proname = 'insert_request'
        cross join
            lateral (
                select
                    not f.has_default
                    and a.attname not in (
                        'id', 'customer_id', 'session_type', 'plan_code', 'status'
                    )
                        as is_needed,
                    f.has_default
                    and a.attname in (
                        'customer_name', 'customer_email', 'notes', 'requested_brand',
                        'customer_country', 'customer_city', 'preferred_mechanic_id',
                        'priority_window_minutes'
                    )
                    and p.prosrc ~ ('[ (]p_' || a.attname || '[,:)]')
                    and p.prosrc !~ ('coalesce\((case when )?p_' || a.attname || '[,: ]')
                        as is_null
                from (select a.atthasdef or y.typdefault is not null as has_default) as f
            ) as w
        where
            a.attrelid = to_regclass('public.session_requests') and a.attnum > 0
            and not a.attisdropped and (a.attnotnull or y.typnotnull)
            and a.attidentity = '' and a.attgenerated = ''
    ) as e
    cross join (
        select count(*) > 0 as fill
        from pg_catalog.pg_trigger as g
        inner join pg_catalog.pg_proc as f on f.oid = g.tgfoid
        where
            g.tgrelid = to_regclass('public.session_requests') and not g.tgisinternal
            -- pg_trigger.h: for each row 1, before 2, insert 4
            and g.tgtype & 7 = 7 and g.tgenabled in ('O', 'A')
            and f.pronamespace is distinct from to_regnamespace('dispatch')
    ) as t
) as c
\gset

-- Every function: its owner, a fixed search_path (with what triggers of theirs may name without a
-- schema, where it writes to their table), nothing for PUBLIC or anon.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'owner of the functions' as check_name,
        count(*) > 0 and count(*) filter (where p.proowner <> n.nspowner) = 0 as ok,
        coalesce(
            'another''s: '
            || string_agg(p.oid::regprocedure::text, ', ') filter (where p.proowner <> n.nspowner)
            || ' (alter function … owner to ' || min(n.nspowner::regrole::text) || ')',
            count(*) || ' belong to the owner of dispatch'
        ) as detail
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'dispatch'
    union all
    select
        'search_path of the functions',
        count(*) filter (where x.is_open) = 0,
        coalesce(
            'not pg_catalog, pg_temp: ' || string_agg(x.signature, ', ') filter (where x.is_open),
            'pg_catalog, pg_temp, and in what runs another''s triggers public and extensions '
            'between them'
        )
    from (
        select
            p.oid::regprocedure::text as signature,
            not exists (
                select from unnest(p.proconfig) as c (setting)
                where
                    replace(c.setting, '"', '') = 'search_path=' || case
                        when
                            p.proname in (
                                'announce_window', 'ask_deferred', 'assign_request',
                                'cancel_refunded', 'cancel_request', 'complete_request',
                                'insert_request', 'is_open_to', 'live_on', 'make_anew',
                                'put_back', 'unassign_request'
                            ) then 'pg_catalog, public, extensions, pg_temp'
                        else 'pg_catalog, pg_temp'
                    end
            ) as is_open
        from pg_catalog.pg_proc as p
        where p.pronamespace = to_regnamespace('dispatch')
    ) as x
) as c
\gset

-- Each is the one of this version, be it another's or an older one that stands there.
\ir functions_expected.sql
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'functions as in their files' as check_name,
        count(*) filter (where p.oid is null or not p.is_same) = 0 as ok,
        coalesce(
            nullif(
                concat_ws(
                    '; ',
                    'missing: ' || string_agg(w.name, ', ' order by w.name)
                    filter (where p.oid is null),
                    'others: ' || string_agg(w.name, ', ' order by w.name)
                    filter (where not p.is_same)
                ),
                ''
            ) || ' (run the up.sql of each layer)',
            count(*) || ', all the same'
        ) as detail
    from (
        select
            e.name,
            e.body,
            null as pattern,
            e.settings
        from
            jsonb_to_recordset(current_setting('favorites_priority.functions')::jsonb)
                as e (name text, body text, settings text[])
        union all
        -- These are settings.
        values
        (
            'dispatch.favorites_priority_enabled', null, 'begin return (true|false); end;',
            '{}'::text[]
        ),
        ('dispatch.expected_stripe_event', null, 'begin return ''[{].*[}]''::jsonb; end;', '{}'),
        ('dispatch.push_services', null, 'begin return ''[{].*[}]''::text\[\]; end;', '{}'),
        -- Made by dispatch.bind_requests for the columns that there are, which notes what it made.
        ('dispatch.as_request', 'noted', null, '{}'),
        ('dispatch.insert_request', 'noted', null, '{}'),
        ('dispatch.assign_request', 'noted', null, '{}'),
        ('dispatch.unassign_request', 'noted', null, '{}'),
        ('dispatch.is_open_to', 'noted', null, '{}'),
        -- The binding, which another marketplace has its own of.
        ('dispatch.governs_all', null, 'select true', '{}'),
        ('dispatch.assigns_user_id', null, 'select true', '{}'),
        ('dispatch.approval_columns', null, 'select array[[]''status''[]]', '{}'),
        ('dispatch.feed_is_private', null, 'select true', '{}'),
        ('dispatch.taken_off', null, 'select ''false''', '{}'),
        ('dispatch.open_to', null, 'select ''true''', '{}')
    ) as w (name, body, pattern, settings)
    left join
        lateral (
            select
                f.oid,
                not f.proisstrict
                and array(
                    select s.setting from unnest(f.proconfig) as s (setting)
                    where s.setting not like 'search\_path=%'
                    order by s.setting
                ) = w.settings
                and coalesce(
                    case
                        when w.body = 'noted'
                            then
                                md5(b.body) = coalesce(
                                    substring(
                                        obj_description(f.oid, 'pg_proc')
                                        from '\{"body": "(\w+)"\}'
                                    ),
                                    ''
                                )
                        else md5(concat_ws(' ', b.body, d.defaults)) = w.body
                    end,
                    case
                        when
                            w.pattern like 'select %'
                            and not current_setting('favorites_priority.governs_all')::boolean
                            then true
                        else b.body ~ ('^' || w.pattern || '$')
                    end,
                    true
                ) as is_same
            from pg_catalog.pg_proc as f
            inner join pg_catalog.pg_namespace as n on n.oid = f.pronamespace
            cross join btrim(regexp_replace(f.prosrc, '\s+', ' ', 'g')) as b (body)
            -- As they are written, without their types.
            cross join
                lower(
                    regexp_replace(
                        pg_get_expr(f.proargdefaults, 0), '::[a-z ]+(\[\])?|''', '', 'g'
                    )
                ) as d (defaults)
            where
                n.nspname = split_part(w.name, '.', 1) and f.proname = split_part(w.name, '.', 2)
        ) as p
        on true
    -- The feature's own is missed by its own check.
    where p.oid is not null or w.name <> 'dispatch.set_favorites_priority'
) as c
\gset

-- What is a view reads no other table, and leaves no row out: those of this version, and the
-- binding as it was when it was given.
do $$
declare
    v_views jsonb := '[]';
begin
    if to_regprocedure('dispatch.view_fingerprint(oid)') is not null then
        execute $q$
            select jsonb_agg(v)
            from (
                select
                    c.relname,
                    dispatch.view_fingerprint(c.oid) as body,
                    substring(obj_description(c.oid, 'pg_class') from '"body": "(\w+)"') as noted,
                    substring(obj_description(c.oid, 'pg_class') from '"server": (\d+)')::integer
                        as server
                from pg_catalog.pg_class as c
                where c.relnamespace = to_regnamespace('dispatch') and c.relkind = 'v'
            ) as v
        $q$ into v_views;
    end if;
    perform set_config(
        'favorites_priority.checks',
        (
            select
                current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                    'check_name', 'views as they were made',
                    'ok', count(*) > 0 and count(*) filter (where not v.is_same) = 0,
                    'detail', coalesce(
                        'differ since sql/engine/up.sql (if meant, run it again): '
                        || string_agg(v.relname, ', ' order by v.relname)
                        filter (where not v.is_same),
                        case
                            when count(*) = 0 then 'not noted: run sql/engine/up.sql'
                            when bool_or(v.is_of_another_server)
                                then
                                    'NOTE: not compared, as PostgreSQL was upgraded since: run '
                                    'sql/engine/up.sql'
                        end,
                        count(*) || ', all the same'
                    )
                )
            from (
                select
                    w.relname,
                    o.is_of_another_server,
                    coalesce(o.is_of_another_server or w.body = w.noted, false) as is_same
                from jsonb_to_recordset(v_views) as w (
                    relname text, body text, noted text, server integer
                )
                cross join
                    lateral (
                        select
                            w.server <> current_setting('server_version_num')::integer / 10000
                                as is_of_another_server
                    ) as o
            ) as v
        )::text,
        true
    );
end;
$$;

-- What sql/api_schema.sql made of the RPCs is what it would make now, and not of another version.
with
rpcs as (
    select
        n.nspname as schema_name,
        p.proname as name,
        p.prosrc ~ '-- sql/api_schema\.sql$' as is_copy,
        (
            pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), p.provolatile = 'v',
            array(
                select r.rolname from pg_catalog.pg_roles as r
                where
                    r.rolname in ('anon', 'authenticated', 'service_role')
                    and has_function_privilege(r.oid, p.oid, 'execute')
                order by r.rolname
            )
        )::text as says
    from pg_catalog.pg_proc as p
    inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where
        p.prosrc ~ '-- sql/api_schema\.sql$'
        or p.pronamespace = 'public'::regnamespace and 'public.' || p.proname in (
            select f.name
            from
                jsonb_to_recordset(current_setting('favorites_priority.functions')::jsonb)
                    as f (name text)
        )
),

behind as (
    select
        s.schema_name,
        string_agg(distinct d.name, ', ' order by d.name) as names
    from (
        select distinct r.schema_name from rpcs as r
        where r.is_copy
    ) as s
    left join
        lateral (
            select
                r.name,
                r.says
            from rpcs as r
            where not r.is_copy or r.schema_name = s.schema_name
            group by r.name, r.says
            having count(*) = 1
        ) as d
        on true
    group by s.schema_name
)

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'RPCs in another schema' as check_name,
        count(b.names) = 0 as ok,
        coalesce(
            string_agg(
                format(
                    'in %s not as in public: %s (run sql/api_schema.sql, -v schema=%1$s)',
                    b.schema_name, b.names
                ),
                '; ' order by b.schema_name
            ) filter (where b.names <> ''),
            'in ' || string_agg(b.schema_name, ', ' order by b.schema_name) || ', as in public',
            'there are none'
        ) as detail
    from behind as b
) as c
\gset

-- Exactly these functions run as their owner, and exactly these may be called by clients: one too
-- many opens the event log, one too few breaks an RPC. PUBLIC's grants count as anon's. A function
-- that is said to be stable and writes fails; one that only reads and is volatile is not planned
-- once for a whole query. (The feature opens two where its policy asks them.)
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        w.check_name,
        coalesce(bool_and(f.wanted = f.found), false) as ok,
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
        ) as detail
    from (
        values
        (
            'security definer functions', 'definer',
            array[
                'accept_request', 'acknowledge_event', 'add_device', 'admit_listener',
                'announce_fallbacks', 'broadcast_request_now',
                'cancel_request', 'checkout_status', 'complete_request', 'create_free_request',
                'decline_request', 'first_event_id_since', 'get_request_by_checkout',
                'get_request_timeline', 'guard_request', 'guard_reservation', 'health',
                'hear_events', 'hear_feed', 'hidden_from_caller', 'is_reserved_for_another',
                'list_favorites',
                'list_missed_events', 'list_open_requests', 'list_payments', 'list_request_events',
                'list_request_mechanics',
                'log_new_request', 'log_request_change',
                'log_window', 'make_checkout', 'may_see_request', 'may_use_topic',
                'mechanic_status', 'note_turns', 'process_stripe_event', 'record_answers',
                'release_request', 'release_windows', 'remove_device', 'reopen_request',
                'route_request', 'set_customer_block', 'set_mechanic_block',
                'set_mechanic_presence', 'take_pushes'
            ]
        ),
        ('functions open to anon', 'anon', array['mechanic_words']),
        (
            'functions open to authenticated', 'authenticated',
            array[
                'accept_request', 'acknowledge_event', 'add_device', 'broadcast_request_now',
                'caller_id', 'cancel_request', 'checkout_status', 'complete_request',
                'create_free_request', 'decline_request', 'get_request_by_checkout',
                'get_request_timeline', 'hidden_from_caller', 'list_favorites',
                'list_open_requests', 'list_payments', 'list_request_events',
                'list_request_mechanics', 'make_checkout', 'may_see_request', 'may_use_topic',
                'mechanic_status', 'mechanic_words', 'release_request', 'remove_device',
                'reopen_request', 'set_customer_block', 'set_mechanic_block',
                'set_mechanic_presence'
            ]
        ),
        (
            'functions open to service_role', 'service_role',
            array[
                'mechanic_words', 'process_stripe_event', 'record_answers', 'take_pushes'
            ]
        ),
        (
            'stable functions', 'stable',
            array[
                'accepted_before', 'approved_mechanic_of', 'as_request', 'blocked_users',
                'booking_error',
                'caller_id', 'checkout_status', 'choose_recipients', 'claim_to_be',
                'cron_waits_for_each_job',
                'due_steps', 'explain_routing', 'fallback_reason', 'first_event_id_since',
                'get_request_by_checkout', 'get_request_timeline', 'has_blocked', 'hear_feed',
                'hidden_from_caller', 'is_approved_mechanic', 'is_at_capacity', 'is_blocked',
                'is_online', 'is_open_to', 'is_reserved_for_another', 'is_spread', 'keep_payment',
                'list_favorites', 'list_open_requests', 'list_payments',
                'list_request_mechanics', 'make_checkout', 'may_hear_of',
                'may_see_request', 'may_use_topic',
                'mechanic_status', 'next_deadline', 'pending_windows', 'policy_fingerprints',
                'price_difference', 'priority_window', 'push_checks', 'push_is_over',
                'push_payload', 'raise_error',
                'realtime_checks', 'refusal', 'refused_output_plugins', 'request_columns',
                'request_of_checkout',
                'require_mechanic', 'require_own_request', 'require_user', 'routing_note',
                'score_match', 'sees_rows', 'shown_request', 'silent_since', 'spread_feed',
                'stopped_triggers',
                'tidy_notes',
                'unannounced_requests', 'unsettled_requests', 'view_fingerprint', 'wants_priority',
                'watched_columns', 'why_not_asked', 'why_sessions_are_hidden'
            ]
        ),
        (
            'immutable functions', 'immutable',
            array[
                'approval_columns', 'assigns_user_id', 'broadcast_refusal', 'checkout_customer',
                'expected_stripe_event', 'favorites_priority_enabled', 'feed_is_private',
                'governs_all', 'is_push_endpoint', 'marketplace_error', 'match_points',
                'max_open_sessions', 'mechanic_words', 'not_pending', 'open_to', 'payment_keys',
                'push_services', 'scrubbed_event', 'taken_off', 'to_uuid', 'ways_to_match',
                'wished_mechanics', 'with_window_of'
            ]
        )
    ) as w (check_name, kind, names)
    cross join
        lateral (
            select
                coalesce(p.proname::text, n.name) as name,
                n.name is not null as wanted,
                coalesce(
                    case w.kind
                        when 'definer' then p.prosecdef
                        when 'stable' then p.provolatile = 's'
                        when 'immutable' then p.provolatile = 'i'
                        else
                            has_function_privilege(w.kind, p.oid, 'execute')
                            and not (
                                p.proname in (
                                    'favorites_priority_enabled', 'is_reserved_for_another'
                                )
                                and not current_setting('favorites_priority.governs_all')::boolean
                            )
                    end,
                    false
                ) as found
            from unnest(w.names) as n (name)
            full join (
                select f.oid, f.proname, f.prosecdef, f.provolatile
                from pg_catalog.pg_proc as f
                where f.pronamespace = to_regnamespace('dispatch')
            ) as p on p.proname = n.name
        ) as f
    group by w.check_name
) as c
\gset

-- What keeps a login out: PostgREST's own, or an app's. (Whether an app's role is to have one is
-- for the owner to say.)
select
    set_config(
        'favorites_priority.shut',
        coalesce(jsonb_object_agg(s.rolname, s.why), '{}')::text,
        true
    ) as kept
from (
    select
        r.rolname,
        case
            when not r.rolcanlogin then 'may not log in: alter role authenticator login'
            when not has_database_privilege(r.oid, current_database(), 'connect')
                then format(
                    'may not connect: grant connect on database %I to %I',
                    current_database(), r.rolname
                )
            when r.rolvaliduntil <= now()
                then 'has a password that is valid no more, since ' || r.rolvaliduntil
            when r.rolconnlimit = 0 then 'may not connect: its connection limit is 0'
            when d.datconnlimit = 0 then 'may not connect: the database''s connection limit is 0'
        end as why
    from pg_catalog.pg_roles as r
    inner join pg_catalog.pg_database as d on d.datname = current_database()
    where r.rolcanlogin or r.rolname = 'authenticator'
) as s
where s.why is not null
\gset

-- Whom the platform lets in before any function of ours is asked.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'schemas of clients' as check_name,
        bool_and(coalesce(has_schema_privilege(w.role, n.oid, 'usage'), false)) as ok,
        coalesce(
            string_agg(
                format('grant usage on schema %s to %I', w.schema, w.role), '; '
                order by w.schema, w.role
            )
            filter (where has_schema_privilege(w.role, n.oid, 'usage') is not true),
            'all may use them'
        ) as detail
    from (
        values
        ('public', 'authenticated'),
        ('public', 'service_role'),
        ('auth', 'authenticated')
        union all
        -- As whom all of ours runs.
        select s.name, pg_get_userbyid(d.nspowner)
        from pg_catalog.pg_namespace as d
        cross join unnest(array['public', 'auth', 'dispatch']) as s (name)
        where d.nspname = 'dispatch'
    ) as w (schema, role)
    left join pg_catalog.pg_namespace as n on n.nspname = w.schema
    where w.role is not null
    union all
    -- Where it has been told so in the database: one that is not shown is not there to clients.
    select
        'schemas of PostgREST',
        not coalesce(bool_or(t.name = 'dispatch'), false)
        and (count(t.name) = 0 or count(f.oid) > 0),
        case
            when count(t.name) = 0 then 'not set in this database'
            else string_agg(t.name, ', ')
        end
        || case
            when bool_or(t.name = 'dispatch') then '; dispatch is for nobody to call'
            else ''
        end
        || case
            when count(t.name) > 0 and count(f.oid) = 0
                then
                    '; the RPCs are in none of these: run sql/api_schema.sql, -v schema=…, or show '
                    'public (pgrst.db_schemas of authenticator)'
            else ''
        end
    from (
        select btrim(n.name, ' "') as name
        from (
            select substr(c.setting, strpos(c.setting, '=') + 1) as names
            from pg_catalog.pg_db_role_setting as s
            cross join unnest(s.setconfig) as c (setting)
            where
                s.setrole = to_regrole('authenticator')
                and s.setdatabase in (
                    0,
                    (
                        select d.oid from pg_catalog.pg_database as d
                        where d.datname = current_database()
                    )
                )
                and c.setting like 'pgrst.db\_schemas=%'
            order by s.setdatabase = 0
            limit 1
        ) as o
        cross join unnest(string_to_array(o.names, ',')) as n (name)
    ) as t
    left join pg_catalog.pg_namespace as e on e.nspname = t.name
    left join pg_catalog.pg_proc as f
        on f.pronamespace = e.oid and f.proname = 'accept_session_request'
    union all
    select
        'roles of clients',
        coalesce(min(a.missing), min(l.authenticator), '') = '' and bool_and(
            case
                when r.rolname in ('anon', 'authenticated')
                    then
                        not m.is_freed
                -- The backend's sees each row of a marketplace of ours, which has no policy for it.
                else
                    r.rolsuper or r.rolbypassrls
                    or not current_setting('favorites_priority.governs_all')::boolean
            end
        ),
        'anon and authenticated are held by row level security: '
        || case
            when
                bool_or(m.is_freed) filter (where r.rolname in ('anon', 'authenticated'))
                then 'NO, alter role … nobypassrls, and revoke their memberships'
            else 'yes'
        end
        || '; service_role passes by it: '
        || case
            when bool_or(r.rolsuper or r.rolbypassrls) filter (where r.rolname = 'service_role')
                then 'yes'
            else 'no (alter role service_role bypassrls)'
        end
        || coalesce(
            '; PostgREST''s own cannot become ' || min(a.missing) || ' (grant it to authenticator)',
            '; PostgREST''s own ' || min(l.authenticator),
            ''
        )
    from pg_catalog.pg_roles as r
    cross join
        lateral (
            select string_agg(c.rolname, ', ' order by c.rolname) as missing
            from pg_catalog.pg_roles as p
            cross join pg_catalog.pg_roles as c
            where
                p.rolname = 'authenticator'
                and c.rolname in ('anon', 'authenticated', 'service_role')
                and not pg_has_role(
                    p.oid, c.oid,
                    -- From PostgreSQL 16 on a member may be kept from it.
                    case
                        when current_setting('server_version_num')::integer < 160000 then 'member'
                        else 'set'
                    end
                )
        ) as a
    cross join
        jsonb_to_record(current_setting('favorites_priority.shut')::jsonb)
            as l (authenticator text)
    cross join
        lateral (
            select count(*) > 0 as is_freed
            from pg_catalog.pg_roles as b
            where
                (
                    b.rolsuper or b.rolbypassrls or b.rolname = 'service_role'
                    or b.oid = (
                        select n.nspowner from pg_catalog.pg_namespace as n
                        where n.nspname = 'dispatch'
                    )
                )
                -- A superuser is a member of all.
                and pg_has_role(r.oid, b.oid, 'member')
        ) as m
    where r.rolname in ('anon', 'authenticated', 'service_role')
    union all
    -- All that runs here does so as the owner, who can take a right from themselves, too.
    select
        'rights of the owner',
        count(*) filter (where not x.has) = 0,
        coalesce(
            'missing: ' || string_agg(x.what, ', ' order by x.what) filter (where not x.has)
            || ' (grant it to ' || min(x.owner) || ')',
            count(*) || ' relations and functions'
        )
    from (
        select
            n.nspowner::regrole::text as owner,
            v.privilege || ' on ' || c.oid::regclass as what,
            case
                when c.relkind = 'S' then has_sequence_privilege(n.nspowner, c.oid, v.privilege)
                when v.privilege = 'update of a column'
                    then has_any_column_privilege(n.nspowner, c.oid, 'update')
                else has_table_privilege(n.nspowner, c.oid, v.privilege)
            end as has
        from pg_catalog.pg_namespace as n
        cross join pg_catalog.pg_class as c
        cross join
            unnest(
                case
                    when c.relkind = 'S' then array['usage', 'select', 'update']
                    when c.relnamespace = n.oid and c.relkind = 'r'
                        then array['select', 'insert', 'update', 'delete']
                    when c.relname = 'session_requests' and c.relkind in ('r', 'p')
                        then array['select', 'insert', 'update']
                    -- A booking and an accept lock their account's row, and the mechanic's.
                    when
                        c.oid = to_regclass('auth.users')
                        or (c.relname = 'mechanics' and c.relkind in ('r', 'p'))
                        then array['select', 'update of a column']
                    else array['select']
                end
            ) as v (privilege)
        where
            n.nspname = 'dispatch'
            and (
                -- (What is another's is seen above.)
                (
                    c.relnamespace = n.oid and c.relkind in ('r', 'v', 'S')
                    and c.relowner = n.nspowner
                )
                or c.oid = to_regclass('auth.users')
                -- What the views read.
                or c.oid in (
                    select d.refobjid
                    from pg_catalog.pg_rewrite as r
                    inner join pg_catalog.pg_class as w on w.oid = r.ev_class
                    inner join pg_catalog.pg_depend as d
                        on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = r.oid
                    where
                        w.relnamespace = to_regnamespace('dispatch')
                        and d.refclassid = 'pg_catalog.pg_class'::regclass
                )
            )
        union all
        -- Else the engine can be neither upgraded nor taken off. (On ours it is told above.)
        select
            n.nspowner::regrole::text,
            format('ownership of %s, which is of %s', c.oid::regclass, c.relowner::regrole),
            pg_has_role(n.nspowner, c.relowner, 'usage')
        from pg_catalog.pg_namespace as n
        cross join pg_catalog.pg_class as c
        where
            n.nspname = 'dispatch'
            and not current_setting('favorites_priority.governs_all')::boolean
            -- What has triggers of ours.
            and c.oid in (
                select t.tgrelid from pg_catalog.pg_trigger as t
                inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
                where p.pronamespace = n.oid
            )
        union all
        select
            n.nspowner::regrole::text,
            'execute on ' || f.name,
            coalesce(has_function_privilege(n.nspowner, f.oid, 'execute'), false)
        from pg_catalog.pg_namespace as n
        cross join
            lateral (
                select p.oid::regprocedure::text as name, p.oid
                from pg_catalog.pg_proc as p
                where p.pronamespace = n.oid and p.proowner = n.nspowner
                union all
                select a.name, to_regprocedure(a.name)
                from
                    unnest(
                        array['auth.uid()', 'auth.jwt()', 'pg_catalog.pg_notify(text,text)']
                    ) as a (name)
                union all
                -- Whatever else a hardening took from everyone.
                select c.oid::regprocedure::text, c.oid
                from pg_catalog.pg_proc as c
                cross join (
                    select string_agg(p.prosrc, '; ') as text from pg_catalog.pg_proc as p
                    where p.pronamespace = n.oid
                ) as b
                where
                    c.pronamespace = 'pg_catalog'::regnamespace and c.proname <> 'pg_notify'
                    and c.proacl is not null
                    and not has_function_privilege(n.nspowner, c.oid, 'execute')
                    and strpos(b.text, c.proname) > 0
                    and b.text ~ ('\m' || c.proname || '\(')
            ) as f
        where n.nspname = 'dispatch'
        union all
        select n.nspowner::regrole::text, 'select on ' || c.oid::regclass, false
        from pg_catalog.pg_namespace as n
        inner join pg_catalog.pg_class as c
            on
                c.relnamespace = 'pg_catalog'::regnamespace and c.relkind in ('r', 'v')
                and c.relacl is not null and not has_table_privilege(n.nspowner, c.oid, 'select')
        cross join (
            select string_agg(p.prosrc, '; ') as text from pg_catalog.pg_proc as p
            where p.pronamespace = to_regnamespace('dispatch')
        ) as b
        where
            n.nspname = 'dispatch' and strpos(b.text, c.relname) > 0
            and b.text ~ ('\mpg_catalog\.' || c.relname || '\M')
    ) as x
    union all
    -- A setting that stays with a role, the database or the server, and stops a rule or a read for
    -- whoever signs in from then on. (What stops the sweep is dispatch.health()'s to say.)
    select
        'settings of roles',
        count(*) = 0,
        coalesce(
            string_agg(
                format('alter %s reset %s', g.holder, split_part(g.setting, '=', 1)), '; '
            ),
            'none stops anything'
        )
    from (
        select
            case
                when s.setrole = 0 and s.setdatabase = 0 then 'role all'
                when s.setrole = 0 then format('database %I', current_database())
                when s.setdatabase = 0 then 'role ' || s.setrole::regrole
                else format('role %s in database %I', s.setrole::regrole, current_database())
            end as holder,
            c.setting
        from pg_catalog.pg_db_role_setting as s
        cross join unnest(s.setconfig) as c (setting)
        where
            (
                s.setdatabase = 0
                or s.setdatabase = (
                    select d.oid from pg_catalog.pg_database as d
                    where d.datname = current_database()
                )
            )
            and (
                s.setrole = 0
                or s.setrole::regrole::text in (
                    'anon', 'authenticated', 'service_role', 'authenticator', 'webhook_app',
                    'push_app', 'hub_app', 'dispatch_monitor'
                )
                or s.setrole = (
                    select n.nspowner from pg_catalog.pg_namespace as n
                    where n.nspname = 'dispatch'
                )
            )
        union all
        select 'system', s.name || '=' || s.setting
        from pg_catalog.pg_settings as s
        where s.source in ('configuration file', 'command line')
    ) as g
    where
        -- It stands there as it was written (SERIALIZABLE, false, 0). No trigger runs; no client
        -- reads a table that has policies; no catch-up; no booking; patterns mean something else;
        -- dead rows stay; PostgREST takes back what it wrote, or shows plans, which count the rows
        -- that a policy hid.
        (
            lower(g.setting) ~ '^(session_replication_role=replica|role=.*'
            '|pgrst\.db_tx_end=rollback.*'
            '|default_transaction_isolation=(serializable|repeatable read))$'
            or lower(g.setting)
            ~ '^(row_security|standard_conforming_strings|autovacuum|track_counts)'
            '=(off?|no?|f(a(l(se?)?)?)?|0)$'
            or lower(g.setting)
            ~ '^(default_transaction_read_only|pgrst\.db_plan_enabled)=(on|y(es?)?|t(r(ue?)?)?|1)$'
            -- Any login may set for itself what ends its next sessions as they begin, or keeps
            -- views from them.
            or lower(g.setting)
            ~ '^(local_preload_libraries=.|restrict_nonsystem_relation_kind=.*view)'
            and g.holder like 'role %'
            -- PostgREST calls it before each request, which fails where there is none.
            or g.setting like 'pgrst.db\_pre\_request=_%'
            and not exists (
                select from pg_catalog.pg_proc as p
                inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
                cross join
                    lateral (select replace(split_part(g.setting, '=', 2), '"', '') as name) as f
                where f.name in (p.proname, n.nspname || '.' || p.proname)
            )
        )
) as c
\gset

-- The roles of the webhook app, of the push app, of the hub and of an exporter, where their files
-- were run in this database. Whatever else is granted to one by name is found by what depends on
-- the role.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'role ' || w.role as check_name,
        case
            when r.oid is null then true
            when not g.is_here then not e.is_idle
            else g.missing is null and g.unexpected is null and l.why is null
        end as ok,
        case
            when r.oid is null then 'there is none'
            when not g.is_here and e.is_idle
                then
                    'may log in, and has no grant in any database: run sql/' || w.file
                    || ', or alter role ' || w.role || ' nologin'
            when not g.is_here then 'has no grant in this database'
            else
                coalesce(
                    nullif(concat_ws('; ', g.missing, g.unexpected, l.why), ''),
                    'may ' || w.may || ', and nothing else'
                )
        end as detail
    from (
        values
        (
            'webhook_app', 'webhook_role.sql', 'call process_stripe_event',
            array['public', 'dispatch'],
            array['public.process_stripe_event(jsonb)', 'dispatch.process_stripe_event(jsonb)'],
            null
        ),
        (
            'push_app', 'push_role.sql', 'call claim_pushes and finish_pushes',
            array['public', 'dispatch'],
            array[
                'public.claim_pushes(integer)', 'public.finish_pushes(jsonb)',
                'dispatch.take_pushes(integer,interval,timestamptz)',
                'dispatch.record_answers(jsonb,timestamptz)'
            ],
            null
        ),
        (
            'hub_app', 'hub_role.sql',
            'call admit_listener, hear_events, hear_feed and list_missed_events',
            array['dispatch'],
            array[
                'dispatch.admit_listener(jsonb,text)',
                'dispatch.hear_events(bigint,integer)', 'dispatch.hear_feed(uuid[])',
                'dispatch.list_missed_events(jsonb,text,bigint,integer)'
            ],
            null
        ),
        (
            'dispatch_monitor', 'monitor_role.sql', 'ask dispatch.health() and dispatch.metrics',
            array['dispatch'],
            array[
                'dispatch.health(timestamptz,bigint)', 'dispatch.first_event_id_since(timestamptz)'
            ],
            'dispatch.metrics'
        )
    ) as w (role, file, may, schemas, signatures, view)
    cross join lateral (select to_regrole(w.role)::oid as oid) as r
    -- A login that was made anew, or came without its grants, is of use to no app. Of one that has
    -- some elsewhere the app may be another database's.
    cross join
        lateral (
            select
                exists (
                    select from pg_catalog.pg_roles as o
                    where o.oid = r.oid and o.rolcanlogin
                )
                and not exists (
                    select from pg_catalog.pg_shdepend as d
                    where
                        d.refclassid = 'pg_catalog.pg_authid'::regclass and d.refobjid = r.oid
                        and d.dbid <> 0
                ) as is_idle
        ) as e
    cross join
        lateral (
            select
                coalesce(bool_or(v.is_granted and v.what <> 'usage on schema public'), false)
                    as is_here,
                'missing (run sql/' || w.file || '): '
                || string_agg(v.what, ', ') filter (where not coalesce(v.is_granted, false))
                    as missing,
                'unexpected: ' || (
                    select string_agg(x.what, ', ' order by x.what)
                    from (
                        select
                            'something of '
                            || pg_describe_object(d.classid, d.objid, d.objsubid) as what
                        from pg_catalog.pg_shdepend as d
                        where
                            d.refclassid = 'pg_catalog.pg_authid'::regclass
                            and d.refobjid = r.oid and d.objid <> all(array_agg(v.oid))
                            and d.dbid = (
                                select b.oid from pg_catalog.pg_database as b
                                where b.datname = current_database()
                            )
                        union
                        -- What is granted to everyone.
                        select 'execute on ' || p.oid::regprocedure
                        from pg_catalog.pg_proc as p
                        where
                            p.pronamespace = to_regnamespace('dispatch')
                            and p.proname not in (
                                'favorites_priority_enabled', 'is_reserved_for_another',
                                'mechanic_words'
                            )
                            and p.oid <> all(array_agg(v.oid))
                            and has_function_privilege(r.oid, p.oid, 'execute')
                        union
                        select 'something of ' || c.oid::regclass
                        from pg_catalog.pg_class as c
                        where
                            c.relnamespace = to_regnamespace('dispatch')
                            and c.relkind in ('r', 'v') and c.oid <> all(array_agg(v.oid))
                            and (
                                has_any_column_privilege(
                                    r.oid, c.oid, 'select, insert, update, references'
                                )
                                or has_table_privilege(
                                    r.oid, c.oid,
                                    'delete, truncate, '
                                    || current_setting('favorites_priority.last_privileges')
                                )
                            )
                        union
                        -- As a server that was older than 15 has it, for everyone. (On ours, what
                        -- waits for the commit on a table of theirs would be run as the owner.)
                        select 'create on schema ' || n.nspname
                        from pg_catalog.pg_namespace as n
                        where
                            n.nspname !~ '^pg_(temp|toast_temp)_'
                            and has_schema_privilege(r.oid, n.oid, 'create')
                        union
                        -- As "grant all on database" gives it.
                        select 'create on the database'
                        where has_database_privilege(r.oid, current_database(), 'create')
                        union
                        select 'member of ' || m.roleid::regrole
                        from pg_catalog.pg_auth_members as m
                        where
                            m.member = r.oid
                            -- For an exporter of the server's own figures: they show no row.
                            and m.roleid::regrole::text not in (
                                'pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats'
                            )
                        union
                        select a.what
                        from pg_catalog.pg_roles as o
                        cross join
                            lateral (
                                values
                                (o.rolbypassrls, 'bypassrls'),
                                (o.rolcreaterole, 'createrole'),
                                (o.rolcreatedb, 'createdb'),
                                (o.rolreplication, 'replication')
                            ) as a (has, what)
                        where o.oid = r.oid and a.has
                    ) as x
                ) as unexpected
            from (
                select
                    'usage on schema ' || n.schema as what,
                    to_regnamespace(n.schema)::oid as oid,
                    has_schema_privilege(r.oid, to_regnamespace(n.schema)::oid, 'usage')
                        as is_granted
                from unnest(w.schemas) as n (schema)
                union all
                select
                    'execute on ' || split_part(n.signature, '(', 1),
                    to_regprocedure(n.signature)::oid,
                    has_function_privilege(r.oid, to_regprocedure(n.signature)::oid, 'execute')
                from unnest(w.signatures) as n (signature)
                union all
                select
                    'select on ' || w.view,
                    to_regclass(w.view)::oid,
                    has_table_privilege(r.oid, to_regclass(w.view)::oid, 'select')
                where w.view is not null
            ) as v
        ) as g
    left join jsonb_each_text(current_setting('favorites_priority.shut')::jsonb) as l (role, why)
        on l.role = w.role
) as c
\gset

select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'rpc ' || split_part(w.signature, '(', 1) as check_name,
        coalesce(
            not p.prosecdef
            and p.proconfig
            && array['search_path=pg_catalog, pg_temp', 'search_path="pg_catalog", "pg_temp"']
            and p.proowner = n.nspowner
            and case p.provolatile when 's' then 'reads' when 'v' then 'writes' end = w.kind
            and has_function_privilege(w.grantee, p.oid, 'execute')
            and o.count = 1
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
        ) as ok,
        case
            when p.oid is null then 'missing: run sql/engine/up.sql'
            when o.count > 1
                then o.count || ' of the name, and PostgREST may not know which: drop the others'
            else
                'is to be of ' || n.nspowner::regrole || ', '
                || w.kind || ', for ' || w.grantee || ' alone, as its caller'
        end as detail
    from (
        values
        ('public.get_checkout_status(text)', 'authenticated', 'reads'),
        ('public.get_mechanic_status(uuid)', 'authenticated', 'reads'),
        ('public.get_session_request_by_checkout(text)', 'authenticated', 'reads'),
        ('public.list_favorite_mechanics()', 'authenticated', 'reads'),
        (
            'public.prepare_checkout(text,uuid,text,integer,boolean,text,uuid[])', 'authenticated',
            'reads'
        ),
        ('public.request_free_session(text,uuid,text,text,uuid,uuid[])', 'authenticated', 'writes'),
        ('public.cancel_session_request(uuid)', 'authenticated', 'writes'),
        ('public.broadcast_session_request_now(uuid)', 'authenticated', 'writes'),
        ('public.get_session_request_timeline(uuid)', 'authenticated', 'reads'),
        ('public.list_session_request_mechanics(uuid)', 'authenticated', 'reads'),
        ('public.set_presence(text)', 'authenticated', 'writes'),
        ('public.list_open_session_requests()', 'authenticated', 'reads'),
        ('public.accept_session_request(uuid)', 'authenticated', 'writes'),
        ('public.decline_session_request(uuid,text)', 'authenticated', 'writes'),
        ('public.complete_session_request(uuid)', 'authenticated', 'writes'),
        ('public.release_session_request(uuid,text)', 'authenticated', 'writes'),
        ('public.reopen_session_request(uuid)', 'authenticated', 'writes'),
        ('public.block_mechanic(uuid)', 'authenticated', 'writes'),
        ('public.unblock_mechanic(uuid)', 'authenticated', 'writes'),
        ('public.block_customer(uuid)', 'authenticated', 'writes'),
        ('public.unblock_customer(uuid)', 'authenticated', 'writes'),
        ('public.list_session_request_events(bigint,integer)', 'authenticated', 'writes'),
        ('public.register_device(text,text,text)', 'authenticated', 'writes'),
        ('public.unregister_device(text)', 'authenticated', 'writes'),
        ('public.acknowledge_notice(bigint)', 'authenticated', 'writes'),
        ('public.list_session_request_payments(uuid[])', 'authenticated', 'reads'),
        ('public.process_stripe_event(jsonb)', 'service_role', 'writes'),
        ('public.claim_pushes(integer)', 'service_role', 'writes'),
        ('public.finish_pushes(jsonb)', 'service_role', 'writes')
    ) as w (signature, grantee, kind)
    left join pg_catalog.pg_namespace as n on n.nspname = 'dispatch'
    left join pg_catalog.pg_proc as p on p.oid = to_regprocedure(w.signature)
    cross join
        lateral (
            select count(*) as count
            from pg_catalog.pg_proc as q
            where q.pronamespace = p.pronamespace and q.proname = p.proname
        ) as o
) as c
\gset

\if :governs_all
-- Another's triggers and publication stay as they are.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'trigger ' || w.name as check_name,
        coalesce(t.tgenabled in ('O', 'A') and d.is_same, false) as ok,
        case
            when t.oid is null then 'missing: run sql/engine/up.sql'
            when not d.is_same then 'another: drop it and run sql/engine/up.sql'
            when t.tgenabled not in ('O', 'A') then 'disabled: alter table … enable trigger …'
            else t.tgfoid::regprocedure || ', enabled on session_requests'
        end as detail
    from (
        values
        ('session_requests_route', 'BEFORE INSERT', '', 'route_request'),
        ('session_requests_guard', 'BEFORE UPDATE', '', 'guard_request'),
        ('session_requests_log_insert', 'AFTER INSERT', '', 'log_new_request'),
        ('session_requests_log_update', 'AFTER UPDATE', '', 'log_request_change'),
        (
            'session_requests_log_delete', 'AFTER DELETE',
            'WHEN old.status = ANY ARRAY[''pending''::public.session_request_status, '
            '''accepted''::public.session_request_status] ',
            'log_request_change'
        )
    ) as w (name, moment, condition, function)
    left join pg_catalog.pg_trigger as t
        on t.tgname = w.name and t.tgrelid = to_regclass('public.session_requests')
    cross join
        lateral (
            select
                translate(pg_get_triggerdef(t.oid), '()', '') = format(
                    'CREATE TRIGGER %s %s ON public.session_requests FOR EACH ROW %sEXECUTE '
                    'FUNCTION dispatch.%s',
                    w.name, w.moment, w.condition, w.function
                ) as is_same
        ) as d
    union all
    select
        'table changes by Realtime',
        case
            when p.oid is null then m.oid is null
            else
                t.tablename is not null and t.rowfilter is null and not l.is_part
                and p.pubinsert and p.pubupdate
        end,
        case
            when p.oid is null and m.oid is not null
                then
                    'Realtime is here and reads none: create publication supabase_realtime, then '
                    'run sql/engine/publication.sql'
            when p.oid is null then 'no publication supabase_realtime in this database'
            when t.tablename is null then 'not published: run sql/engine/publication.sql'
            when t.rowfilter is not null or l.is_part
                then
                    'only some rows or columns are published: take session_requests out of '
                    'supabase_realtime and run sql/engine/publication.sql'
            when not (p.pubinsert and p.pubupdate)
                then
                    'not every change is published: alter publication supabase_realtime set '
                    '(publish = ''insert, update, delete, truncate'')'
            else 'session_requests is in supabase_realtime'
        end
    from (select 'supabase_realtime'::name as pubname) as w
    left join pg_catalog.pg_publication as p on p.pubname = w.pubname
    left join pg_catalog.pg_class as m
        on m.relname = 'messages' and m.relnamespace = to_regnamespace('realtime')
    left join pg_catalog.pg_publication_tables as t
        on
            t.pubname = w.pubname
            and t.schemaname = 'public' and t.tablename = 'session_requests'
    cross join
        lateral (
            select count(*) > 0 as is_part
            from pg_catalog.pg_publication_rel as r
            where
                r.prpubid = p.oid and r.prattrs is not null
                and r.prrelid = to_regclass('public.session_requests')
        ) as l
) as c
\gset
\endif

-- Realtime is not in every database; where it is, it must send what it may, and no more.
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'policy ' || w.name as check_name,
        c.oid is null or coalesce(
            c.relrowsecurity
            and p.cmd = w.command and p.permissive = w.kind and p.roles = array[w.role]
            and concat_ws(' ', p.qual, p.with_check) like w.rule,
            false
        ) as ok,
        case
            when c.oid is null then 'no realtime.messages in this database'
            when not c.relrowsecurity then 'row level security is off on realtime.messages'
            when p.policyname is null then 'missing: run sql/engine/realtime.sql'
            when
                p.cmd = w.command and p.permissive = w.kind and p.roles = array[w.role]
                and concat_ws(' ', p.qual, p.with_check) like w.rule
                then lower(p.permissive || ', for ' || p.cmd || ' to ') || w.role
            else 'another: drop it on realtime.messages and run sql/engine/realtime.sql'
        end as detail
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
        -- On another's marketplace the feed and the presence are its own to open and close.
        (
            'dispatch_topics_only', 'RESTRICTIVE', 'ALL', 'authenticated',
            case
                when current_setting('favorites_priority.governs_all')::boolean
                    then
                        '(dispatch.may_use_topic(''join''%) IS NOT FALSE) '
                        '(dispatch.may_use_topic(''send''%) IS NOT FALSE)'
                else
                    '(%online_mechanics%session_requests_feed%dispatch.may_use_topic(''join''%) '
                    'IS NOT FALSE)) (%online_mechanics%session_requests_feed%'
                    'dispatch.may_use_topic(''send''%) IS NOT FALSE))'
            end
        ),
        (
            'dispatch_topics_not_anon', 'RESTRICTIVE', 'ALL', 'anon',
            case
                when current_setting('favorites_priority.governs_all')::boolean
                    then '(topic !~ %session_requests_feed%mechanic|customer%)'
                else '(topic !~ %mechanic|customer%)'
            end
        )
    ) as w (name, kind, command, role, rule)
    left join pg_catalog.pg_class as c
        on c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime')
    left join pg_catalog.pg_policies as p
        on p.schemaname = 'realtime' and p.tablename = 'messages' and p.policyname = w.name
    union all
    select
        'grants of Realtime',
        c.oid is null or coalesce(
            has_schema_privilege('authenticated', n.oid, 'usage')
            and has_table_privilege('authenticated', c.oid, 'select')
            and has_table_privilege('authenticated', c.oid, 'insert')
            -- What the policies ask.
            and has_function_privilege('authenticated', t.oid, 'execute')
            -- One whose table has no partitions may be too old to have it.
            and (f.oid is not null or c.relkind <> 'p')
            and (
                f.oid is null or (
                    has_schema_privilege(d.nspowner, n.oid, 'usage')
                    and has_function_privilege(d.nspowner, f.oid, 'execute')
                    -- It has its caller's rights, if the platform has not said otherwise.
                    and (f.prosecdef or i.may_write)
                )
            ),
            false
        ),
        case
            when c.oid is null then 'no realtime.messages in this database'
            when f.oid is null and c.relkind = 'p'
                then
                    'realtime.send(jsonb, text, text, boolean) is missing, and nothing is '
                    'broadcast: see the platform''s migrations of Realtime'
            else
                'authenticated joins private topics by select and insert on realtime.messages and '
                'realtime.topic(), ' || d.nspowner::regrole || ' sends by realtime.send'
                || case
                    when f.prosecdef is false and not i.may_write
                        then
                            ', which it may not: grant it insert on realtime.messages, and '
                            'bypassrls or a policy there'
                    else ''
                end
        end
    from (select 'realtime'::name as name) as w
    left join pg_catalog.pg_namespace as n on n.nspname = w.name
    left join pg_catalog.pg_class as c on c.relname = 'messages' and c.relnamespace = n.oid
    left join pg_catalog.pg_namespace as d on d.nspname = 'dispatch'
    left join pg_catalog.pg_proc as f
        on
            f.pronamespace = n.oid and f.proname = 'send'
            and oidvectortypes(f.proargtypes) = 'jsonb, text, text, boolean'
    -- (Not to_regprocedure, which fails for who may not use the schema.)
    left join pg_catalog.pg_proc as t
        on t.pronamespace = n.oid and t.proname = 'topic' and t.pronargs = 0
    left join pg_catalog.pg_roles as o on o.oid = d.nspowner
    cross join
        lateral (
            select
                has_table_privilege(o.oid, c.oid, 'insert')
                and (
                    not c.relrowsecurity or o.rolsuper or o.rolbypassrls
                    or (not c.relforcerowsecurity and pg_has_role(o.oid, c.relowner, 'usage'))
                    -- As dispatch.realtime_checks.
                    or exists (
                        select from pg_catalog.pg_policy as y
                        cross join unnest(y.polroles) as g (oid)
                        where
                            y.polrelid = c.oid and y.polpermissive and y.polcmd in ('a', '*')
                            and case
                                when g.oid = o.oid then true
                                when pg_get_expr(y.polwithcheck, y.polrelid) = 'true'
                                    then g.oid = 0 or pg_has_role(o.oid, g.oid, 'usage')
                            end
                    )
                ) as may_write
        ) as i
    union all
    -- Told, and not failed for: what it lets through cannot be known by its text.
    select
        'other policies on realtime.messages',
        true,
        coalesce(
            'NOTE: ' || string_agg(p.policyname, ', ' order by p.policyname)
            || ' (restrictive) must let pass select and insert on session_requests_feed, '
            'online_mechanics, mechanic:… and customer:…',
            'none is restrictive'
        )
    from pg_catalog.pg_policies as p
    where
        p.schemaname = 'realtime' and p.tablename = 'messages' and p.permissive = 'RESTRICTIVE'
        and p.policyname not in ('dispatch_topics_only', 'dispatch_topics_not_anon')
        and p.roles && array['public', 'authenticated']::name[]
) as c
\gset

-- A server that was updated may refuse what Realtime reads by.
do $$
declare
    v_refused text[];
    v_error text;
begin
    begin
        v_refused := dispatch.refused_output_plugins();
    exception
        when undefined_function or invalid_schema_name then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'output plugins of Realtime',
                'ok', v_error is null and coalesce(v_refused = '{}', true),
                'detail',
                case
                    when v_error is not null then v_error
                    when v_refused is null
                        then 'output_plugin_libraries is not shown to ' || current_user
                    when v_refused = '{}' then 'none is refused'
                    when current_setting('wal_level') <> 'logical'
                        then
                            'not read by any: wal_level is ' || current_setting('wal_level')
                            || ': alter system set wal_level = logical, and restart the server'
                    else
                        'refused: alter system set output_plugin_libraries = pgoutput, '
                        'test_decoding, wal2json'
                end
            )
        )::text,
        true
    );
end;
$$;

-- pg_cron's tables are named only where they are. Retention's hour and ages are the owner's.
do $$
declare
    v_checks jsonb := '[]';
    v_job record;
    v_found record;
    v_runs record;
    v_elsewhere text;
    v_is_seen boolean;
    -- When pg_cron could first have begun the sweep, but for the minute until it does.
    v_since constant timestamptz := greatest(
        pg_postmaster_start_time(),
        to_timestamp(pg_sequence_last_value(to_regclass('dispatch.scheduled_at')) / 1000.0)
    );
    v_waits boolean;
    v_is_there constant boolean := exists (
        select from pg_catalog.pg_extension where extname = 'pg_cron'
    );
    v_is_shown constant boolean := v_is_there and has_schema_privilege('cron', 'usage');
begin
    for v_job in
        select * from (
            values
            ('dispatch-sweep', '* * * * *', '%dispatch.sweep\_round(%'),
            ('dispatch-start', '@reboot', '%dispatch.sweep\_round(%'),
            ('dispatch-retention', '%', '%dispatch.prune\_events(%')
        ) as w (name, schedule, command)
    loop
        select
            null::bigint as there, null::bigint as running, null as stranger, false as is_same,
            false as is_here
        into v_found;
        if v_is_shown then
            execute
                $q$select
                    count(*) as there,
                    count(*) filter (where j.active) as running,
                    max(j.username) filter (
                        where j.active and not coalesce(
                            has_function_privilege(
                                r.oid, to_regprocedure('dispatch.sweep_round(timestamptz)')::oid,
                                'execute'
                            ),
                            false
                        )
                    ) as stranger,
                    bool_and(
                        $1 = 'dispatch-retention'
                        or md5(btrim(regexp_replace(j.command, '\s+', ' ', 'g')))
                        = current_setting('favorites_priority.sweep_command')
                    ) as is_same,
                    -- A standby has its primary's jobs.
                    bool_and(
                        j.nodeport = current_setting('port')::integer or pg_is_in_recovery()
                    ) as is_here
                from cron.job as j
                left join pg_catalog.pg_roles as r on r.rolname = j.username
                where
                    j.jobname = $1 and j.schedule like $2 and j.command like $3
                    and j.database = current_database()$q$
                into v_found using v_job.name, v_job.schedule, v_job.command;
        end if;
        v_checks := v_checks || jsonb_build_object(
            'check_name', 'cron job ' || v_job.name,
            'ok',
            not v_is_there or coalesce(
                v_found.running = 1 and v_found.stranger is null and v_found.is_same
                and v_found.is_here,
                false
            ),
            'detail',
            case
                when v_is_there and not v_is_shown
                    then format('not shown: grant usage on schema cron to %I', current_user)
                when v_found.there is null
                    then
                        'not in this database: run sweep yourself (sql/engine/schedule.sql says how)'
                when v_found.there = 0 then 'missing or changed: run sql/engine/schedule.sql'
                when v_found.running = 0 then 'not active: cron.alter_job(jobid, active := true)'
                when v_found.running > 1
                    then v_found.running || ' of the name: cron.unschedule(jobid) all but one'
                when v_found.stranger is not null
                    then
                        'run as ' || v_found.stranger || ', who may not: cron.unschedule(jobid), '
                        'then run sql/engine/schedule.sql'
                when not v_found.is_same
                    then 'its command is another version''s: run sql/engine/schedule.sql'
                when not v_found.is_here
                    then 'for another port than this server''s: run sql/engine/schedule.sql'
                else 'active'
            end
        );
    end loop;

    -- Each run takes a minute, so that one is running nearly all the time.
    if v_is_shown then
        execute
            $q$select
                count(*),
                max(d.start_time) filter (
                    where d.status <> 'failed'
                    -- Ended with the server, or by somebody, not by a fault of its own.
                    or d.return_message
                    ~ 'server (restarted|closed the connection)'
                    '|terminating (connection|background worker)|job canceled'
                ) as good_at,
                -- None has ended, and so none has failed.
                count(*) filter (where d.status in ('succeeded', 'failed')) as ended,
                (array_agg(d.status || coalesce(', ' || left(d.return_message, 200), '')
                order by d.runid desc))[1] as outcome
            from cron.job_run_details as d
            inner join cron.job as j on j.jobid = d.jobid
            where j.jobname = 'dispatch-sweep' and j.database = current_database()$q$
            into v_runs;
        select s.setting into v_elsewhere from pg_catalog.pg_settings as s
        where s.name = 'cron.database_name' and s.setting <> current_database();
        v_is_seen := not pg_has_role('pg_read_all_stats', 'usage') or exists (
            select from pg_catalog.pg_stat_activity as a
            where
                a.datname = current_database() and a.state = 'active'
                and a.pid <> pg_backend_pid() and a.query ~ '\mdispatch\.sweep_round\('
        );
        v_checks := v_checks || jsonb_build_object(
            'check_name', 'runs of dispatch-sweep',
            'ok',
            v_elsewhere is null
            and case
                -- Somebody may have emptied the table, or keep none: then one is seen to run.
                when v_runs.ended = 0
                    then v_runs.count > 0 or v_is_seen or v_since > now() - interval '3 minutes'
                else
                    coalesce(v_runs.good_at > now() - interval '3 minutes', false)
                    -- After a restart pg_cron begins it at the next full minute.
                    or (
                        v_runs.good_at is not null
                        and pg_postmaster_start_time() > now() - interval '3 minutes'
                    )
            end,
            'detail',
            case
                when v_elsewhere is not null
                    then
                        'pg_cron runs the jobs of database ' || v_elsewhere
                        || ' alone (cron.database_name), as this one was copied from it'
                when v_runs.count = 0 and v_since > now() - interval '3 minutes'
                    then 'none yet: the first begins with the next minute'
                when v_runs.count = 0 and v_is_seen then 'none is kept'
                when v_runs.count = 0
                    then 'none has begun, since ' || date_trunc('second', v_since)
                        || ': see docs/runbook.md, "pg_cron begins nothing"'
                else
                    'the last: ' || v_runs.outcome
                    || coalesce(', a good one at ' || date_trunc('second', v_runs.good_at), '')
            end
        );
    end if;

    if to_regprocedure('dispatch.cron_waits_for_each_job()') is not null then
        execute 'select dispatch.cron_waits_for_each_job()' into v_waits;
    end if;
    -- Told, and not failed for: where it is so, it may be the provider's to change. That it does
    -- harm is dispatch.health()'s to say.
    v_checks := v_checks || jsonb_build_object(
        'check_name', 'other jobs of pg_cron',
        'ok', true,
        'detail',
        case
            when not v_is_there then 'not in this database'
            when v_waits is null then 'not known: run sql/engine/up.sql'
            when v_waits
                then
                    'NOTE: any that takes long holds up the sweep, as cron.use_background_workers is '
                    'on and pg_cron older than 1.5 (docs/runbook.md)'
            else 'none holds up the sweep by being slow'
        end
    );
    perform set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || v_checks)::text,
        true
    );
end;
$$;

-- Windows are counted by this clock. One that was set back would open windows again that are over.
do $$
declare
    v_last timestamptz;
    v_error text;
begin
    begin
        select e.created_at into v_last
        from dispatch.request_events as e order by e.id desc limit 1;
    exception
        when undefined_table or invalid_schema_name or undefined_column then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'clock',
                'ok',
                v_error is null
                and coalesce(v_last < clock_timestamp() + interval '1 second', true),
                'detail',
                case
                    when v_error is not null then v_error
                    when v_last >= clock_timestamp() + interval '1 second'
                        then 'behind the last event, of ' || v_last || ': it was set back'
                    else to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS TZH:TZM')
                end
            )
        )::text,
        true
    );
end;
$$;

-- A copy by logical replication, or of the data alone, has the rows and not where the sequences
-- were: there, each id that is taken already fails a booking.
do $$
declare
    v_behind text;
    v_error text;
begin
    begin
        select string_agg(f.name, ', ') into v_behind
        from (
            select 'request_events' as name, max(e.id) as last from dispatch.request_events as e
            union all
            select 'pushes', max(p.id) from dispatch.pushes as p
        ) as f
        where f.last > coalesce(
            pg_sequence_last_value(format('dispatch.%I_id_seq', f.name)::regclass), 0
        );
    exception
        when undefined_table or invalid_schema_name or undefined_column then v_error := sqlerrm;
    end;
    perform set_config(
        'favorites_priority.checks',
        (
            current_setting('favorites_priority.checks')::jsonb || jsonb_build_object(
                'check_name', 'ids to come',
                'ok', v_error is null and v_behind is null,
                'detail', coalesce(
                    v_error,
                    'given already, and every booking fails: select setval(''dispatch.…_id_seq'', '
                    '(select max(id) from dispatch.…)) for ' || v_behind,
                    'none was given yet'
                )
            )
        )::text,
        true
    );
end;
$$;

-- Any zone will do, but PostgreSQL also takes a name that is none for an offset of its own making.
-- (The view reads a file for each zone there is.)
select
    set_config(
        'favorites_priority.checks',
        (current_setting('favorites_priority.checks')::jsonb || jsonb_agg(c))::text,
        true
    ) as kept
from (
    select
        'time zone' as check_name,
        case
            when current_setting('timezone') <> 'UTC'
                then
                    -- As it writes an offset in hours itself.
                    current_setting('timezone') like '<%'
                    -- With the days on which summer begins and ends: by intent.
                    or current_setting('timezone') ~ '^[A-Z]+-?\d[^,]*,[MJ]?\d[^,]*,[MJ]?\d'
                    or current_setting('timezone') in (
                        select z.name from pg_catalog.pg_timezone_names as z
                    )
            else true
        end as ok,
        current_setting('timezone')
        || ', now UTC'
        || to_char(clock_timestamp(), 'TZH:TZM') as detail
    union all
    -- An index of texts that another version of the system's library had put in order finds some no
    -- more: an event of Stripe's, say, that is there already.
    select
        'order of texts',
        not v.is_another,
        case
            when v.is_another
                then
                    'by version ' || d.datcollversion || ' when they were put in order, and by '
                    || coalesce(v.version, 'none') || ' now: reindex the database, then alter '
                    'database … refresh collation version'
            else coalesce(d.datcollversion, 'the same in each version')
        end
    from pg_catalog.pg_database as d
    cross join
        lateral (
            select
                a.version,
                coalesce(d.datcollversion <> coalesce(a.version, ''), false) as is_another
            from pg_database_collation_actual_version(d.oid) as a (version)
        ) as v
    where d.datname = current_database()
) as c
\gset
