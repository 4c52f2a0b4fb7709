-- Who may do what with the four tables, each time: both defaults of Supabase projects (all granted
-- to the Data API roles, or nothing) end the same. A table of a dump has what that default gives
-- beside its own grants, and with all of it a mechanic could approve themselves. No default grants
-- a column: what somebody granted of one stays.
do $$
declare
    v_columns text[];
    v_query text;
begin
    select
        coalesce(
            pg_catalog.array_agg(
                pg_catalog.format(
                    'grant %s (%I) on %s to %s', g.privilege_type, a.attname, a.attrelid::regclass,
                    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end
                )
            ),
            '{}'
        )
    into v_columns
    from pg_catalog.pg_attribute as a
    cross join pg_catalog.aclexplode(a.attacl) as g
    left join pg_catalog.pg_roles as r on r.oid = g.grantee
    where
        a.attrelid in (
            'public.mechanics'::regclass, 'public.customer_favorites'::regclass,
            'public.service_plans'::regclass, 'public.session_requests'::regclass
        )
        -- (Of one that is gone the grants are still there.)
        and not a.attisdropped
        and coalesce(r.rolname, 'public') in ('public', 'anon', 'authenticated', 'service_role');

    revoke all on public.mechanics, public.customer_favorites, public.service_plans,
    public.session_requests
    from public, anon, authenticated, service_role;
    grant select, insert, update, delete
    on public.mechanics, public.customer_favorites, public.service_plans, public.session_requests
    to service_role;
    grant select on public.mechanics to authenticated;
    grant select, insert, delete on public.customer_favorites to authenticated;
    grant select on public.service_plans to anon, authenticated;

    -- By name, as somebody may have given one another.
    for v_query in
        select
            pg_catalog.format(
                'grant %s (%s) on %s to authenticated',
                w.privilege,
                pg_catalog.string_agg(
                    pg_catalog.quote_ident(a.attname), ', ' order by a.attnum
                ),
                w.relation
            )
        from (
            values
            -- Not status, is_online or updated_at: nobody approves themselves, and presence goes
            -- through set_presence.
            (
                'public.mechanics'::regclass, 'insert',
                array['id', 'display_name', 'brands', 'country', 'city']
            ),
            ('public.mechanics', 'update', array['display_name', 'brands', 'country', 'city']),
            -- Not the customer's name, e-mail, notes or metadata: whoever may see those gets them
            -- from the RPCs. Writes go through the RPCs alone.
            (
                'public.session_requests', 'select',
                array[
                    'id', 'created_at', 'updated_at', 'customer_id', 'mechanic_id', 'session_type',
                    'plan_code', 'status', 'accepted_at', 'notification_sent_at', 'is_urgent',
                    'request_type', 'requested_brand', 'extracted_keywords', 'customer_country',
                    'customer_city', 'expires_at', 'is_follow_up', 'preferred_workshop_id'
                ]
            )
        ) as w (relation, privilege, columns)
        inner join pg_catalog.pg_attribute as a
            on a.attrelid = w.relation and a.attname = any(w.columns)
        group by w.relation, w.privilege
    loop
        execute v_query;
    end loop;
    foreach v_query in array v_columns loop
        execute v_query;
    end loop;
end;
$$;
