create or replace function dispatch.set_mechanic_block(p_mechanic_id uuid, p_is_blocked boolean)
returns void
language plpgsql
volatile
-- definer: clients cannot write dispatch.blocks; the caller blocks for nobody but themselves
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
begin
    -- No error for what is no mechanic: it would tell who has applied.
    perform dispatch.set_block(
        v_user_id,
        (select m.user_id from dispatch.mechanics as m where m.id = p_mechanic_id),
        p_is_blocked
    );
end;
$$;

comment on function dispatch.set_mechanic_block(uuid, boolean) is
'Behind public.block_mechanic and public.unblock_mechanic.';
revoke all on function dispatch.set_mechanic_block(uuid, boolean)
from public, anon, authenticated, service_role;
grant execute on function dispatch.set_mechanic_block(uuid, boolean) to authenticated;
