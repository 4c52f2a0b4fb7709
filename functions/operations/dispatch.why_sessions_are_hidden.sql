-- Part of dispatch.health(): to whom other sessions are not shown, they look like none.
create or replace function dispatch.why_sessions_are_hidden()
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when not pg_has_role('pg_read_all_stats', 'usage')
            then 'other sessions are not shown to ' || current_user || ': grant it pg_read_all_stats'
        -- Then none says since when, and what an open transaction holds up looks like nothing.
        when current_setting('track_activities') = 'off'
            then 'track_activities is off, and what other sessions do is not known: set it on'
    end;
end;
$$;

comment on function dispatch.why_sessions_are_hidden() is
'Why who asks does not see what other sessions do, and what shows them to it; null: it does.';
revoke all on function dispatch.why_sessions_are_hidden()
from public, anon, authenticated, service_role;
