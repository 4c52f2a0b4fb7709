-- Stand-in for hosted Supabase, the part a cluster has once: its roles.
-- Run by the superuser supabase_admin. It belongs to the local stack and is never shipped.

create role anon nologin;
create role authenticated nologin;
create role service_role nologin bypassrls;
create role supabase_auth_admin nologin noinherit;
create role supabase_realtime_admin nologin noinherit;

-- Migrations run as this role. As on hosted Supabase it is not a superuser.
create role postgres login nosuperuser createdb createrole replication bypassrls;
grant anon, authenticated, service_role to postgres;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- A patched server lets postgres write policies on realtime.messages without owning it. Here the
-- membership does that, and an event trigger (supabase.sql) refuses the owner's other rights.
grant supabase_realtime_admin to postgres;

-- PostgREST logs in as authenticator and switches to the role the token names.
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;

-- A migration may set this one for authenticator.
grant set on parameter pgrst.db_pre_request to postgres;

alter database postgres owner to postgres;
