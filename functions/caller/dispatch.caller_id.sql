create or replace function dispatch.caller_id()
returns uuid
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return auth.uid();
exception
    -- Another issuer's tokens (Supabase's third-party auth) have a sub that is no uuid. In a policy
    -- an error would cost Realtime the whole batch of changes, for every subscriber.
    when invalid_text_representation then return null;
end;
$$;

comment on function dispatch.caller_id() is
'For policies: the id of the signed-in user, by the token; null: there is none. Never raises.';
revoke all on function dispatch.caller_id() from public, anon, authenticated, service_role;
grant execute on function dispatch.caller_id() to authenticated;
