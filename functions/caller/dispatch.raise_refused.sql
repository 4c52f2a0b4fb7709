-- Not in the marketplace's own words, which may show the whole row: the owner has them in the
-- server's log and sees in dispatch.health() that there are some. (A sequence, so that it stays
-- though the caller's transaction fails.)
create or replace function dispatch.raise_refused(p_sqlstate text, p_detail text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- What passes by itself, and what was said for the caller, is for the caller to raise again.
    if left(p_sqlstate, 2) in ('40', '53', '57', 'PT') or p_sqlstate in ('55006', '55P03') then
        return;
    end if;
    perform setval(
        'dispatch.last_refusal', (extract(epoch from clock_timestamp()) * 1000)::bigint
    );
    raise log 'refused by the marketplace, answered %: %',
        p_detail, coalesce(p_sqlstate, 'a trigger kept the row out');
    perform dispatch.raise_error(p_detail);
end;
$$;

comment on function dispatch.raise_refused(text, text) is
'For a write of a caller''s that the marketplace refused with this SQLSTATE: notes it for the '
'owner and raises the contract''s error. Returns if the error is one to be raised as it is.';
revoke all on function dispatch.raise_refused(text, text)
from public, anon, authenticated, service_role;
