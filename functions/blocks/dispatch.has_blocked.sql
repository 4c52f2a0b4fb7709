create or replace function dispatch.has_blocked(p_user_id uuid, p_other_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from dispatch.blocks as b
        where b.user_id = p_user_id and b.other_id = p_other_id and b.is_theirs
    );
end;
$$;

comment on function dispatch.has_blocked(uuid, uuid) is
'Whether the first of these two users has blocked the second.';
revoke all on function dispatch.has_blocked(uuid, uuid)
from public, anon, authenticated, service_role;
