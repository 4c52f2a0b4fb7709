-- dispatch holds the logic and the internal tables. It is not exposed by PostgREST; clients reach
-- it only through the functions in public.
create schema if not exists dispatch;

comment on schema dispatch is
'Routing of session requests to mechanics: logic, event log, Stripe ledger. Not exposed.';

-- The search_path of every function is pg_catalog, pg_temp. An empty one is not enough: types and
-- tables are then looked up in pg_temp first, and a caller's own domain `text` would be taken for
-- ours, its check run as our owner.

-- Advisory locks of this product are of the class 1178687058 ("FAVR"). The second key is the floor
-- of an event in flight, -1 the right to deliver inline (both dispatch.record_event),
-- -2 turning the flag, -3 installing and taking off (alone_begin.sql), below -999 counting windows
-- that a mechanic let pass.

revoke all on schema dispatch from public, anon, authenticated, service_role;
-- The RPCs in public are security invoker: their callers need to look names up in here.
grant usage on schema dispatch to authenticated, service_role;
