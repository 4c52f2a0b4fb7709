create or replace function dispatch.admit_listener(p_claims jsonb, p_role text)
returns uuid
language plpgsql
-- volatile: what follows in this transaction is done as this caller
volatile
-- definer: the hub's role may act as nobody otherwise
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- As PostgREST would find when it has set the role: anon may not, a role of the project's own may
    -- if it was granted.
    if not coalesce(
        has_function_privilege(
            to_regrole(quote_ident(p_role)),
            'public.list_session_request_events(bigint, integer)',
            'execute'
        ),
        false
    ) then
        perform dispatch.raise_error('not_signed_in');
    end if;
    perform set_config('request.jwt.claims', p_claims::text, true);
    return dispatch.require_user();
end;
$$;

comment on function dispatch.admit_listener(jsonb, text) is
'The user of a token that the hub has verified, by its claims and its role; the rest of the '
'transaction is theirs. Raises PT401 not_signed_in, also if that role may not catch up.';
revoke all on function dispatch.admit_listener(jsonb, text)
from public, anon, authenticated, service_role;
