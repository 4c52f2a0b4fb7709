-- Row level security, for the tables that tables.sql made just now.
--
-- Nobody is to learn from the planner how many rows are a person's: for `Prefer: count=planned` and
-- `estimated` PostgREST asks it, and it knows the most common values before any policy is asked. So
-- of those columns it keeps no statistics, and takes every value for as common.
do $$
begin
    if not exists (select from tables_before where relname = 'mechanics') then
        alter table public.mechanics enable row level security;
        -- An applicant's name is one too.
        alter table public.mechanics alter display_name set statistics 0;

        create policy mechanics_select on public.mechanics for select to authenticated
        using (status = 'approved' or id = (select auth.uid()));
        create policy mechanics_insert on public.mechanics for insert to authenticated
        with check (id = (select auth.uid()));
        create policy mechanics_update on public.mechanics for update to authenticated
        using (id = (select auth.uid())) with check (id = (select auth.uid()));
    end if;

    if not exists (select from tables_before where relname = 'customer_favorites') then
        alter table public.customer_favorites enable row level security;
        alter table public.customer_favorites
        alter customer_id set statistics 0, alter mechanic_id set statistics 0;

        create policy customer_favorites_select on public.customer_favorites
        for select to authenticated using (customer_id = (select auth.uid()));
        -- By the foreign key's answer anyone could ask who has applied: of a user who is no mechanic,
        -- or not approved, all are told the same.
        create policy customer_favorites_insert on public.customer_favorites
        for insert to authenticated with check (
            customer_id = (select auth.uid())
            and exists (
                select from public.mechanics as m
                where m.id = customer_favorites.mechanic_id and m.status = 'approved'
            )
        );
        create policy customer_favorites_delete on public.customer_favorites
        for delete to authenticated using (customer_id = (select auth.uid()));
    end if;

    if not exists (select from tables_before where relname = 'service_plans') then
        alter table public.service_plans enable row level security;
        create policy service_plans_select on public.service_plans for select
        to anon, authenticated using (is_active);
    end if;

    if not exists (select from tables_before where relname = 'session_requests') then
        alter table public.session_requests enable row level security;
        alter table public.session_requests
        alter customer_id set statistics 0, alter mechanic_id set statistics 0;

        -- Which open requests a mechanic sees besides is the engine's to say
        -- (sql/engine/see_open_requests.sql).
        create policy session_requests_select on public.session_requests
        for select to authenticated using (
            customer_id = (select auth.uid()) or mechanic_id = (select auth.uid())
        );
    end if;
end;
$$;
