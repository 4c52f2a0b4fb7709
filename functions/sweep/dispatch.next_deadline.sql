create or replace function dispatch.next_deadline()
returns timestamptz
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while the table was small would sort all that waits.
set enable_sort = off
as $$
begin
    return least(
        (select w.ends_at from dispatch.pending_windows('infinity', 1) as w),
        (
            select r.expires_at from dispatch.requests as r
            where r.is_pending and dispatch.governs_all() order by r.expires_at limit 1
        )
    );
end;
$$;

comment on function dispatch.next_deadline() is
'When the sweep has next to announce or expire something; null: nothing waits.';
revoke all on function dispatch.next_deadline() from public, anon, authenticated, service_role;
