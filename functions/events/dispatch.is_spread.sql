create or replace function dispatch.is_spread(p_topics text[])
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return 'session_requests_feed' = any(p_topics) and exists (
        select from dispatch.blocks as b
        where
            b.user_id = dispatch.to_uuid(substring(p_topics[1] from '^customer:(.*)$'))
    );
end;
$$;

comment on function dispatch.is_spread(text[]) is
'Whether an event on these topics goes to each mechanic by name (dispatch.spread_feed), where '
'anybody has blocked anybody. The customer''s topic comes first.';
revoke all on function dispatch.is_spread(text[]) from public, anon, authenticated, service_role;
