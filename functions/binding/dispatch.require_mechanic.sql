create or replace function dispatch.require_mechanic()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_mechanic_id uuid := dispatch.approved_mechanic_of(dispatch.require_user());
begin
    if v_mechanic_id is null then
        perform dispatch.raise_error('not_a_mechanic');
    end if;
    return v_mechanic_id;
end;
$$;

comment on function dispatch.require_mechanic() is
'The mechanic that the signed-in user is. Raises PT401 not_signed_in, PT403 not_a_mechanic.';
revoke all on function dispatch.require_mechanic() from public, anon, authenticated, service_role;
