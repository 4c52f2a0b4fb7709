-- Stable, though set_config is not: dispatch.is_open_to, for which it is, sets them back.
create or replace function dispatch.claim_to_be(p_claims text, p_sub text)
returns void
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select
        set_config('request.jwt.claims', p_claims, true),
        set_config('request.jwt.claim.sub', p_sub, true)
$$;

comment on function dispatch.claim_to_be(text, text) is
'Makes auth.uid() and auth.jwt() answer as for a token with these claims, of the user p_sub, for '
'the rest of the transaction. Null: none.';
revoke all on function dispatch.claim_to_be(text, text)
from public, anon, authenticated, service_role;
