-- On a marketplace of ours whoever has blocked the caller, or is blocked by them, looks like one
-- who is not approved; so no favourite can be made of them either. The list is asked for once in a
-- query, not for each row. (The policy is gone if a function that it calls was dropped with all
-- that hangs on it.)
do $$
begin
    if not exists (
        select from pg_catalog.pg_policy
        where polrelid = 'public.mechanics'::regclass and polname = 'mechanics_select'
    ) then
        create policy mechanics_select on public.mechanics for select to authenticated using (false);
    end if;
end;
$$;
alter policy mechanics_select on public.mechanics using (
    (
        status = 'approved'
        and id <> all(cast((select dispatch.hidden_from_caller()) as uuid[]))
    )
    or id = (select auth.uid())
);
