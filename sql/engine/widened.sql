-- An engine of an earlier version lists open requests with fewer columns, and none can be added to
-- what a function returns.
do $$
begin
    if not exists (
        select from pg_catalog.pg_proc as p
        where
            p.oid = to_regprocedure('dispatch.list_open_requests()')
            and 'is_returning_customer' = any(p.proargnames)
    ) then
        drop function if exists public.list_open_session_requests();
        drop function if exists dispatch.list_open_requests();
    end if;
end;
$$;
