-- Supabase Realtime. Without it, in part or in whole, the install goes on: notices then go by
-- NOTIFY and the event log alone.

-- Broadcast and Presence: a client joins a private topic, or sends to it, if policies on
-- realtime.messages let it read or insert a row. The permissive ones let our clients in. The
-- restrictive ones keep everyone else out of our topics where the marketplace has a policy of its
-- own for all topics, as Supabase's guides begin with. Its other topics are not touched.
-- The rule is dispatch.may_use_topic(), so that the policies never change and running this again
-- locks nothing. anon may call nothing in dispatch: its policy names the topics once more.
-- On a marketplace that was there first the feed and the presence are its own to open and close.
do $$
declare
    v_policy record;
    v_shared constant text := case
        when dispatch.governs_all() then 'online_mechanics|session_requests_feed|' else ''
    end;
    v_not_ours constant text := case
        when dispatch.governs_all() then ''
        else 'topic in (''online_mechanics'', ''session_requests_feed'') or '
    end;
begin
    if
        to_regnamespace('realtime') is null
        or to_regclass('realtime.messages') is null
        or to_regprocedure('realtime.topic()') is null
    then
        return;
    end if;
    for v_policy in
        select p.name, p.definition, p.description
        from (
            values
            (
                'dispatch_topics_join',
                'for select to authenticated '
                'using (dispatch.may_use_topic(''join'', (select realtime.topic()), extension))',
                'Mechanics join the feed and their own topic, customers their own.'
            ),
            (
                'dispatch_topics_send',
                'for insert to authenticated with check '
                '(dispatch.may_use_topic(''send'', (select realtime.topic()), extension))',
                'Mechanics show their presence on online_mechanics; no client sends a notice.'
            ),
            (
                'dispatch_topics_only',
                'as restrictive for all to authenticated '
                'using (' || v_not_ours
                || 'dispatch.may_use_topic(''join'', topic, extension) is not false) '
                'with check (' || v_not_ours
                || 'dispatch.may_use_topic(''send'', topic, extension) is not false)',
                'No other policy opens the topics of session requests any further.'
            ),
            (
                'dispatch_topics_not_anon',
                'as restrictive for all to anon using (topic !~ ''^(' || v_shared
                || '(mechanic|customer):[0-9a-f-]{36})$'')',
                'No policy opens the topics of session requests to who is not signed in.'
            )
        ) as p (name, definition, description)
        where
            not exists (
                select from pg_catalog.pg_policy as there
                where there.polrelid = 'realtime.messages'::regclass and there.polname = p.name
            )
    loop
        execute pg_catalog.format(
            'create policy %I on realtime.messages %s', v_policy.name, v_policy.definition
        );
        begin
            execute pg_catalog.format(
                'comment on policy %I on realtime.messages is %L',
                v_policy.name, v_policy.description
            );
        exception
            -- Some hosted projects let postgres make policies there and not describe them.
            when insufficient_privilege then null;
        end;
    end loop;
exception
    when insufficient_privilege or undefined_column then
        raise warning 'no policies on realtime.messages: %', sqlerrm
            using hint = 'Private Broadcast reaches nobody until sql/engine/realtime.sql is run '
            'by a role that may create them.';
end;
$$;
