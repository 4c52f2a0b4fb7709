-- Changes public.session_requests.expires_at, of a marketplace that was there first: what they say
-- of when it ends is said from the broadcast on.
create or replace function dispatch.live_on(p_request_id uuid, p_for interval)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
#variable_conflict use_variable
begin
    update public.session_requests as r set expires_at = r.expires_at + p_for
    where r.id = p_request_id;
    perform dispatch.ask_deferred();
exception
    when generated_always then null;  -- theirs to compute
    -- Some trigger of theirs does not let it: the broadcast must not wait for that.
    when assert_failure or others then
        raise warning 'the expiry of request % was not moved: %', p_request_id, sqlerrm;
end;
$$;

comment on function dispatch.live_on(uuid, interval) is
'On a marketplace that was there first: moves the end of a request''s life, if it is not theirs '
'alone to say.';
revoke all on function dispatch.live_on(uuid, interval)
from public, anon, authenticated, service_role;
