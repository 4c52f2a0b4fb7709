-- Stand-in for hosted Supabase, the part each database has: auth, realtime, extensions, cron.
-- Run by the superuser supabase_admin. It belongs to the local stack and is never shipped.

-- public: postgres creates in it as the database's owner.
grant usage on schema public to anon, authenticated, service_role;

-- New projects open no new table to the Data API; these three leftovers remain.
alter default privileges for role postgres in schema public
grant references, trigger, truncate on tables to anon, authenticated, service_role;

-- The Realtime server reads this publication; it starts empty.
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- extensions -------------------------------------------------------------------------------------
create schema extensions;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to postgres;

-- On hosted Supabase postgres may create these itself; plain PostgreSQL wants a superuser.
create extension pgtap with schema extensions;
create extension plpgsql_check with schema extensions;

-- auth -------------------------------------------------------------------------------------------
create schema auth authorization supabase_auth_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;

create table auth.users (
    id uuid constraint users_pkey primary key default gen_random_uuid(),
    instance_id uuid,
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    encrypted_password varchar(255),
    email_confirmed_at timestamptz,
    confirmation_token varchar(255),
    recovery_token varchar(255),
    email_change varchar(255),
    email_change_token_new varchar(255),
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_sso_user boolean not null default false,
    is_anonymous boolean not null default false,
    created_at timestamptz default now(),
    updated_at timestamptz default now(),
    deleted_at timestamptz
);
create unique index users_email_partial_key on auth.users (email) where not is_sso_user;
alter table auth.users enable row level security;
alter table auth.users owner to supabase_auth_admin;
grant all on auth.users to postgres;

create function auth.jwt() returns jsonb
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;

create function auth.uid() returns uuid
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;

create function auth.role() returns text
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;

create function auth.email() returns text
language sql stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$;

alter function auth.jwt() owner to supabase_auth_admin;
alter function auth.uid() owner to supabase_auth_admin;
alter function auth.role() owner to supabase_auth_admin;
alter function auth.email() owner to supabase_auth_admin;

-- realtime ---------------------------------------------------------------------------------------
create schema realtime;
grant usage on schema realtime to anon, authenticated, service_role, supabase_realtime_admin;
grant usage on schema realtime to postgres with grant option;

-- As on hosted Supabase there is no default partition: without the day's own, a send is lost.
create table realtime.messages (
    topic text not null,
    extension text not null,
    payload jsonb,
    event text,
    private boolean default false,
    updated_at timestamp not null default now(),
    inserted_at timestamp not null default now(),
    id uuid not null default gen_random_uuid(),
    constraint messages_pkey primary key (id, inserted_at)
) partition by range (inserted_at);
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
where extension = 'broadcast' and private;
alter table realtime.messages enable row level security;
alter table realtime.messages owner to supabase_realtime_admin;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
grant all on realtime.messages to postgres;

create function realtime.topic() returns text
language sql stable
as $$
    select nullif(current_setting('realtime.topic', true), '')
$$;

-- Invoker's rights, and every error becomes a warning: both as in the real one.
create function realtime.send(
    payload jsonb,
    event text,
    topic text,
    private boolean default true
) returns void
language plpgsql
as $$
declare
    message_id uuid := gen_random_uuid();
begin
    perform set_config('realtime.topic', topic, true);
    insert into realtime.messages (id, payload, event, topic, private, extension)
    values (
        message_id,
        jsonb_build_object('id', message_id) || payload,
        event,
        topic,
        private,
        'broadcast'
    );
exception when others then
    raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end
$$;

create function realtime.broadcast_changes(
    topic_name text,
    event_name text,
    operation text,
    table_name text,
    table_schema text,
    new record,
    old record,
    level text default 'ROW'
) returns void
language plpgsql
as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    if operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'Unexpected operation type: %', operation;
    end if;
    perform realtime.send(
        jsonb_build_object(
            'old_record', old,
            'record', new,
            'operation', operation,
            'table', table_name,
            'schema', table_schema
        ),
        event_name,
        topic_name
    );
end
$$;

alter function realtime.topic() owner to supabase_realtime_admin;
alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;
alter function realtime.broadcast_changes(text, text, text, text, text, record, record, text)
owner to supabase_realtime_admin;

-- postgres is a member of supabase_realtime_admin for the sake of policies only. Whatever else that
-- would let a migration change is refused, as on hosted Supabase. (A policy made or commented on has
-- no schema name here; one that is dropped has.)
create function extensions.refuse_platform_changes() returns event_trigger
language plpgsql
as $$
declare
    v_object text;
begin
    if (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) then
        return;
    end if;
    if tg_event = 'sql_drop' then
        select d.object_identity into v_object
        from pg_catalog.pg_event_trigger_dropped_objects() as d
        where
            d.schema_name in ('auth', 'realtime') and d.object_type <> 'policy'
            -- A table that goes takes its foreign keys' triggers off what they point to.
            and not (d.object_type = 'trigger' and not d.original);
    else
        select c.object_identity into v_object
        from pg_catalog.pg_event_trigger_ddl_commands() as c
        where c.schema_name in ('auth', 'realtime');
    end if;
    if v_object is not null then
        raise insufficient_privilege using message = format('must be owner of %s', v_object);
    end if;
end
$$;

create event trigger refuse_platform_changes on ddl_command_end
execute function extensions.refuse_platform_changes();
create event trigger refuse_platform_drops on sql_drop
execute function extensions.refuse_platform_changes();

-- cron -------------------------------------------------------------------------------------------
-- pg_cron lives in one database only.
select current_database() = current_setting('cron.database_name') as has_cron \gset
\if :has_cron
    create extension pg_cron with schema pg_catalog;
    grant usage on schema cron to postgres with grant option;
    grant all on all functions in schema cron to postgres with grant option;
    grant all on all tables in schema cron to postgres with grant option;
    revoke all on cron.job from postgres;
    grant select on cron.job to postgres with grant option;
\endif
