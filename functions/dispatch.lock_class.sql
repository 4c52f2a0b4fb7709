create or replace function dispatch.lock_class()
returns integer
language sql
immutable
security invoker
set search_path = ''
as 'select 1178686546';

comment on function dispatch.lock_class() is
'First key of this product''s advisory locks; the second: the floor of an event in flight, or -1 '
'for the right to deliver inline, -2 for turning the flag.';
revoke all on function dispatch.lock_class() from public, anon, authenticated, service_role;
