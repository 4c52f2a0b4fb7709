-- Changes realtime.messages. Supabase Realtime is a second way of delivery: whatever ails it (a
-- changed signature, a missing grant, no partition for today) must not undo the paid request being
-- announced.
create or replace function dispatch.send_broadcasts(
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
    v_body constant text := (
        select p.prosrc from pg_catalog.pg_proc as p
        where p.oid = to_regprocedure('realtime.send(jsonb,text,text,boolean)')
    );
    v_are_private boolean[];
begin
    if v_body is null then
        return;
    end if;
    -- What is for one alone is private wherever the feed is.
    v_are_private := array(
        select dispatch.feed_is_private() or t.topic <> 'session_requests_feed'
        from unnest(p_topics) with ordinality as t (topic, place)
        order by t.place
    );

    -- realtime.send takes a subtransaction and an INSERT for each notice. While it is one that is
    -- known to do no more than this, one INSERT does it for all. It has its caller's rights, so that
    -- who may call it may write what it writes.
    begin
        if md5(v_body) in (
            'b4e930e20b2a09d27bf93fb0da5b38d4',  -- Realtime's of November 2025
            'c12384e30dda994bf2e0d23daeaea20b',  -- of June 2026
            '284b1e30e5dbb411fe653399fa878212'  -- the local stack's
        ) then
            insert into realtime.messages (id, payload, event, topic, private, extension)
            select
                n.id,
                jsonb_build_object('id', n.id) || n.payload::jsonb,
                n.event,
                n.topic,
                n.is_private,
                'broadcast'
            from (
                select gen_random_uuid() as id, u.*
                from unnest(p_topics, p_events, p_payloads, v_are_private)
                    as u (topic, event, payload, is_private)
            ) as n;
            return;
        end if;
    exception
        when assert_failure or others then
            null;  -- Of one that fails, realtime.send warns, and sends the others.
    end;

    perform realtime.send(n.payload::jsonb, n.event, n.topic, n.is_private)
    from unnest(p_topics, p_events, p_payloads, v_are_private)
        as n (topic, event, payload, is_private);
exception
    when assert_failure or others then
        raise warning 'Broadcast of % notices failed: %', cardinality(p_topics), sqlerrm;
end;
$$;

comment on function dispatch.send_broadcasts(text[], text[], text[]) is
'Sends notices as Supabase Broadcasts, where realtime.send exists: private, but for a feed that '
'the binding calls public. By one INSERT where realtime.send is known to do no more, else by it.';
revoke all on function dispatch.send_broadcasts(text[], text[], text[])
from public, anon, authenticated, service_role;
