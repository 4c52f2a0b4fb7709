do $$
declare
    v_found record;
begin
    if dispatch.governs_all() then
        for v_found in
            select t.tgname from pg_catalog.pg_trigger as t
            inner join pg_catalog.pg_proc as f on f.oid = t.tgfoid
            where
                t.tgrelid = 'public.session_requests'::regclass
                and f.pronamespace = 'dispatch'::regnamespace
        loop
            execute pg_catalog.format('drop trigger %I on public.session_requests', v_found.tgname);
        end loop;
        -- As sql/marketplace/policies.sql has it. (One that was dropped by hand stays so.)
        if exists (
            select from pg_catalog.pg_policy as p
            where
                p.polrelid = 'public.session_requests'::regclass
                and p.polname = 'session_requests_select'
        ) then
            alter policy session_requests_select on public.session_requests using (
                customer_id = (select auth.uid()) or mechanic_id = (select auth.uid())
            );
        end if;
        if exists (
            select from pg_catalog.pg_policy as p
            where p.polrelid = 'public.mechanics'::regclass and p.polname = 'mechanics_select'
        ) then
            alter policy mechanics_select on public.mechanics
            using (status = 'approved' or id = (select auth.uid()));
        end if;
        drop index if exists public.mechanics_matches_idx;
        if
            exists (
                select from pg_catalog.pg_publication_tables
                where
                    pubname = 'supabase_realtime'
                    and schemaname = 'public' and tablename = 'session_requests'
            )
        then
            begin
                alter publication supabase_realtime drop table public.session_requests;
            exception
                when insufficient_privilege then
                    raise insufficient_privilege using
                        message = pg_catalog.format(
                            'session_requests stays in supabase_realtime, and nothing was changed: '
                            '%s',
                            sqlerrm
                        ),
                        hint = 'Run this as a role that may, then that again: alter publication '
                        'supabase_realtime drop table public.session_requests';
            end;
        end if;
    end if;

    for v_found in
        select p.polname from pg_catalog.pg_policy as p
        inner join pg_catalog.pg_class as c on c.oid = p.polrelid
        where
            c.relname = 'messages' and c.relnamespace = to_regnamespace('realtime')
            and p.polname ~ '^dispatch_topics_'
    loop
        begin
            execute pg_catalog.format('drop policy %I on realtime.messages', v_found.polname);
        exception
            when insufficient_privilege then
                raise insufficient_privilege using
                    message = pg_catalog.format(
                        'the policies dispatch_topics_… stay, and nothing was changed: %s', sqlerrm
                    ),
                    hint = 'Drop the four of realtime.messages as a role that may, then run this '
                    'again.';
        end;
    end loop;

    for v_found in
        select p.oid::regprocedure as signature from pg_catalog.pg_proc as p
        where
            -- As sql/api_schema.sql made them for clients who are shown another schema.
            p.prosrc ~ '-- sql/api_schema\.sql$'
            or p.pronamespace = 'public'::regnamespace and p.prosrc ~ '\mdispatch\.'
            and p.proname = any(current_setting('dispatch.rpcs')::text[])
    loop
        execute pg_catalog.format('drop function %s', v_found.signature);
    end loop;

    if
        exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        and pg_catalog.obj_description('dispatch.last_delivery'::regclass)
        like '%up.sql made the extension%'
    then
        execute 'select count(*) from cron.job' into v_found;
        if v_found.count = 0 then
            drop extension pg_cron;
        end if;
    end if;

    -- What sql/webhook_role.sql and sql/push_role.sql granted; the roles themselves are for who made
    -- them to drop.
    for v_found in
        select r.rolname from pg_catalog.pg_roles as r
        where r.rolname in ('webhook_app', 'push_app')
    loop
        execute pg_catalog.format('revoke usage on schema public from %I', v_found.rolname);
    end loop;
    set local client_min_messages = warning;  -- not a line for each thing that goes
    drop schema dispatch cascade;
end;
$$;
