create or replace function dispatch.blocked_users(p_user_id uuid)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select distinct b.other_id from dispatch.blocks as b where b.user_id = p_user_id
    );
end;
$$;

comment on function dispatch.blocked_users(uuid) is
'Whom this user has blocked, and who has blocked them.';
revoke all on function dispatch.blocked_users(uuid)
from public, anon, authenticated, service_role;
