-- Of any table, as a migration of theirs may put a view in the place of the one that was renamed.
-- (The linter of Supabase's CLI reads the option, which says of what row it is to think.)
create or replace function dispatch.shown_request(p_request anyelement)
returns anyelement
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
-- @plpgsql_check_options: anyelementtype = public.session_requests
declare
    -- Whoever calls, be this a definer's or not.
    v_role constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
    -- What the apps are told of a request in any case.
    v_shown constant text[] := array[
        'id', 'created_at', 'customer_id', 'mechanic_id', 'session_type', 'plan_code', 'status',
        'accepted_at', 'notification_sent_at', 'expires_at', 'preferred_mechanic_id',
        'priority_window_minutes', 'priority_notified_at', 'requested_brand', 'customer_city',
        'customer_country', 'is_urgent', 'customer_name', 'customer_email', 'notes'
    ];
    v_hidden jsonb;
    v_request record := p_request;
begin
    -- The customer and the mechanic who won see the whole request, but how it was paid is between
    -- the customer and Stripe. On a marketplace that was there first the engine keeps that itself.
    if dispatch.governs_all() then
        v_request.metadata := case jsonb_typeof(v_request.metadata)
            when 'object'
                then v_request.metadata - dispatch.payment_keys()
            else '{}'::jsonb
        end;
    elsif not has_table_privilege(v_role, 'public.session_requests', 'select') then
        -- A column of its own that it keeps from its clients is not theirs to see in an answer of
        -- ours either. (Where a domain wants a value, there is no null to put in its place.)
        for v_hidden in
            select jsonb_object_agg(a.attname, null)
            from pg_catalog.pg_attribute as a
            inner join pg_catalog.pg_type as t on t.oid = a.atttypid
            where
                a.attrelid = 'public.session_requests'::regclass
                and a.attnum > 0 and not a.attisdropped
                and a.attname <> all(v_shown)
                and not has_column_privilege(v_role, a.attrelid, a.attnum, 'select')
            group by case when t.typtype = 'd' then a.attnum end
        loop
            begin
                v_request := jsonb_populate_record(v_request, v_hidden);
            exception
                -- Also by a CHECK, or by the domain that it is made of.
                when assert_failure or others then null;
            end;
        end loop;
    end if;
    return v_request;
end;
$$;

comment on function dispatch.shown_request(anyelement) is
'A request as its customer and its mechanic may see it: without the payment, nor (on a marketplace '
'that was there first) columns of its own that the calling role may not select.';
revoke all on function dispatch.shown_request(anyelement)
from public, anon, authenticated, service_role;
