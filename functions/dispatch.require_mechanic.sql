create or replace function dispatch.require_mechanic()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.require_user();
begin
    if not dispatch.is_approved_mechanic(v_user_id) then
        perform dispatch.raise_error('not_a_mechanic');
    end if;
    return v_user_id;
end;
$$;

comment on function dispatch.require_mechanic() is
'The signed-in mechanic''s id. Raises PT401 not_signed_in, PT403 not_a_mechanic.';
revoke all on function dispatch.require_mechanic() from public, anon, authenticated, service_role;
