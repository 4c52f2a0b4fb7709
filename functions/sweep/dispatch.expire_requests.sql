create or replace function dispatch.expire_requests(p_limit integer, p_now timestamptz)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
-- The index has the order already: a plan made while few waited would sort all that wait.
set enable_sort = off
as $$
#variable_conflict use_variable
declare
    v_due uuid[];
    v_id uuid;
    v_count integer := 0;
    v_failed integer := 0;
begin
    -- Another's expiry is its own.
    if not dispatch.governs_all() then
        return 0;
    end if;
    v_due := array(
        select r.id from dispatch.requests as r
        where r.is_pending and r.expires_at <= p_now
        order by r.expires_at
        limit p_limit
    );
    for v_pass in 1 .. 2 loop
        -- Row by row: few expire, and one that raises must not stop the rest.
        foreach v_id in array v_due loop
            begin
                update public.session_requests
                set status = 'expired'
                where
                    id = (
                        select r.id from dispatch.requests as r
                        where r.id = v_id and r.is_pending and r.expires_at <= p_now
                        for update skip locked
                    );
                if found then
                    -- What is checked at the commit would stop the rest then.
                    perform dispatch.ask_deferred();
                    v_count := v_count + 1;
                end if;
            exception
                when assert_failure or others then
                    v_failed := v_failed + 1;
                    raise warning 'request % could not be expired: %', v_id, sqlerrm;
            end;
        end loop;
        exit when v_failed = 0 or v_count >= p_limit;
        -- The oldest may be as many as are tried at once, and raise each time. So as many of the
        -- others are tried, by chance: each gets its turn, and no round takes longer than two.
        v_due := array(
            select rest.id
            from (
                select r.id from dispatch.requests as r
                where r.is_pending and r.expires_at <= p_now
                order by r.expires_at
                offset v_failed
            ) as rest
            order by random()
            limit p_limit - v_count
        );
    end loop;
    return v_count;
end;
$$;

comment on function dispatch.expire_requests(integer, timestamptz) is
'Expires up to p_limit pending requests whose expires_at has come at p_now. Returns how many.';
revoke all on function dispatch.expire_requests(integer, timestamptz)
from public, anon, authenticated, service_role;
