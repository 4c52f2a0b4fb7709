create or replace function dispatch.expire_requests(p_limit integer, p_now timestamptz)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while few waited would sort all that wait.
set enable_sort = off
as $$
declare
    v_id uuid;
    v_count integer := 0;
begin
    -- Another's expiry is its own.
    if not dispatch.governs_all() then
        return 0;
    end if;
    -- Row by row: few expire, and one that raises must not stop the rest.
    for v_id in
        select r.id from dispatch.requests as r
        where r.is_pending and r.expires_at <= p_now
        order by r.expires_at
        limit p_limit
        for update skip locked
    loop
        begin
            update public.session_requests set status = 'expired' where id = v_id;
            v_count := v_count + 1;
        exception
            when others then
                raise warning 'request % could not be expired: %', v_id, sqlerrm;
        end;
    end loop;
    return v_count;
end;
$$;

comment on function dispatch.expire_requests(integer, timestamptz) is
'Expires up to p_limit pending requests whose expires_at has come at p_now. Returns how many.';
revoke all on function dispatch.expire_requests(integer, timestamptz)
from public, anon, authenticated, service_role;
