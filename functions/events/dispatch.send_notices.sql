create or replace function dispatch.send_notices(
    p_topics text[],
    p_events text[],
    p_payloads text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_notices record;
begin
    -- Whose app is closed.
    if exists (select from dispatch.devices) then
        perform dispatch.queue_pushes(p_topics, p_events, p_payloads);
    end if;

    -- The feed has everyone. On a marketplace that was there first it is theirs, and stays so.
    if pg_relation_size('dispatch.blocks') > 0 and dispatch.governs_all() then
        v_notices := dispatch.spread_feed(p_topics, p_events, p_payloads);
        p_topics := v_notices.topics;
        p_events := v_notices.events;
        p_payloads := v_notices.payloads;
    end if;

    for v_index in 1 .. cardinality(p_topics) loop
        -- As a condition, since "perform" would plan and run a query for each.
        continue when pg_notify(p_topics[v_index], p_payloads[v_index]) is not null;
    end loop;
    -- The hub listens here alone, and asks the log what there is for whom.
    perform pg_notify('dispatch_events', '');

    -- A name in a schema that may not be used raises, even in to_regprocedure.
    if has_schema_privilege(to_regnamespace('realtime'), 'usage') then
        perform dispatch.send_broadcasts(p_topics, p_events, p_payloads);
    end if;
end;
$$;

comment on function dispatch.send_notices(text[], text[], text[]) is
'Sends notices with this transaction''s commit, one for each element of the arrays: by NOTIFY, by '
'Web Push to whoever has a device, and, on Supabase, as Broadcasts.';
revoke all on function dispatch.send_notices(text[], text[], text[])
from public, anon, authenticated, service_role;
