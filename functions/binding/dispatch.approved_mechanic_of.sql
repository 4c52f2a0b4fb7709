create or replace function dispatch.approved_mechanic_of(p_user_id uuid)
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select m.id from dispatch.mechanics as m
        where m.user_id = p_user_id and m.is_approved
        limit 1
    );
end;
$$;

comment on function dispatch.approved_mechanic_of(uuid) is
'The approved mechanic that this user is; null: none.';
revoke all on function dispatch.approved_mechanic_of(uuid)
from public, anon, authenticated, service_role;
