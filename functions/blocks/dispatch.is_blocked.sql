-- Where nobody has blocked anybody the table has no page. To ask for its size first, as each
-- booking and each accept does, costs a sixth of a look-up in it.
create or replace function dispatch.is_blocked(p_user_id uuid, p_other_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from dispatch.blocks as b
        where b.user_id = p_user_id and b.other_id = p_other_id
    );
end;
$$;

comment on function dispatch.is_blocked(uuid, uuid) is
'Whether one of these two users has blocked the other.';
revoke all on function dispatch.is_blocked(uuid, uuid)
from public, anon, authenticated, service_role;
