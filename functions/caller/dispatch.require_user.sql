create or replace function dispatch.require_user()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := auth.uid();
begin
    if v_user_id is null then
        perform dispatch.raise_error('not_signed_in');
    end if;
    return v_user_id;
end;
$$;

comment on function dispatch.require_user() is
'The signed-in user''s id. Raises PT401 not_signed_in.';
revoke all on function dispatch.require_user() from public, anon, authenticated, service_role;
