create or replace function dispatch.may_use_topic(
    p_action text, p_topic text, p_extension text
)
returns boolean
language plpgsql
stable
-- definer: policies run as the client, who may not see every row of mechanics
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.caller_id();
begin
    if
        p_topic !~ '^(online_mechanics|session_requests_feed|(mechanic|customer):[0-9a-f-]{36})$'
        -- While the flag is off, a marketplace that was there first has its topics for itself.
        or (not dispatch.governs_all() and not dispatch.favorites_priority_enabled())
    then
        return null;
    elsif v_user_id is null then
        return false;
    elsif p_topic = 'online_mechanics' then
        -- Who is here is for every signed-in user to see; only a mechanic may be here. Broadcast,
        -- which nobody can send, is open too: older Realtime servers refuse a join without it.
        return p_action = 'join'
        or (p_extension = 'presence' and dispatch.approved_mechanic_of(v_user_id) is not null);
    end if;
    -- Notices come from the database alone.
    return p_action = 'join' and p_extension = 'broadcast'
    and (
        p_topic = 'customer:' || v_user_id
        or (
            p_topic in ('session_requests_feed', 'mechanic:' || v_user_id)
            and dispatch.approved_mechanic_of(v_user_id) is not null
        )
    );
end;
$$;

comment on function dispatch.may_use_topic(text, text, text) is
'For the policies on realtime.messages: whether the caller may join a topic, or send to it, by an '
'extension (broadcast, presence). Null: the topic is none of ours.';
revoke all on function dispatch.may_use_topic(text, text, text)
from public, anon, authenticated, service_role;
grant execute on function dispatch.may_use_topic(text, text, text) to authenticated;
