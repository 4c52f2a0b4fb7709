create or replace function dispatch.hidden_from_caller()
returns uuid[]
language plpgsql
stable
-- definer: policies run as the client, who cannot read who has blocked whom
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.blocked_users(dispatch.caller_id());
end;
$$;

comment on function dispatch.hidden_from_caller() is
'For row level security on a marketplace of ours: the users of whom the caller is not to hear.';
revoke all on function dispatch.hidden_from_caller()
from public, anon, authenticated, service_role;
grant execute on function dispatch.hidden_from_caller() to authenticated;
