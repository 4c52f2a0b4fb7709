-- The marketplace's own tables come first: where they exist already, nothing of theirs is changed,
-- and policies.sql leaves their row level security and grants alone.
create temporary table tables_before on commit drop as
select relname from pg_catalog.pg_class
where
    relnamespace = 'public'::regnamespace
    and relname in ('mechanics', 'customer_favorites', 'service_plans', 'session_requests');

do $$
begin
    if to_regtype('public.session_type') is null then
        create type public.session_type as enum ('diagnostic', 'chat', 'video');
    end if;
    if to_regtype('public.session_request_status') is null then
        create type public.session_request_status as enum (
            'pending', 'accepted', 'cancelled', 'expired', 'completed'
        );
    end if;
end;
$$;

create table if not exists public.mechanics (
    id uuid not null constraint mechanics_pkey primary key
    constraint mechanics_id_fkey references auth.users (id) on delete cascade,
    display_name text,
    status text default 'pending'
    constraint mechanics_status_check check (status in ('pending', 'approved', 'suspended')),
    is_online boolean not null default false,
    brands text[] not null default '{}',
    country text,
    city text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
)
-- Room in each page for the next heartbeats, so that their updates are HOT.
with (fillfactor = 80);

create table if not exists public.customer_favorites (
    customer_id uuid not null
    constraint customer_favorites_customer_id_fkey references auth.users (id) on delete cascade,
    mechanic_id uuid not null
    constraint customer_favorites_mechanic_id_fkey
    references public.mechanics (id) on delete cascade,
    created_at timestamptz not null default now(),
    constraint customer_favorites_pkey primary key (customer_id, mechanic_id)
);

create table if not exists public.service_plans (
    code text not null constraint service_plans_pkey primary key,
    title text not null,
    session_type public.session_type not null,
    price_cents integer not null
    constraint service_plans_price_cents_check check (price_cents >= 0),
    currency text not null default 'usd',
    is_active boolean not null default true
);

create table if not exists public.session_requests (
    id uuid not null default gen_random_uuid() constraint session_requests_pkey primary key,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    customer_id uuid not null
    constraint session_requests_customer_id_fkey references auth.users (id) on delete cascade,
    mechanic_id uuid
    constraint session_requests_mechanic_id_fkey references auth.users (id) on delete set null,
    session_type public.session_type not null,
    plan_code text,
    status public.session_request_status not null default 'pending',
    customer_name text,
    customer_email text,
    notes text,
    accepted_at timestamptz,
    notification_sent_at timestamptz,
    metadata jsonb not null default '{}',
    is_urgent boolean not null default false,
    request_type text default 'general'
    constraint session_requests_request_type_check
    check (request_type in ('general', 'brand_specialist')),
    requested_brand text,
    extracted_keywords text[],
    customer_country text,
    customer_city text,
    expires_at timestamptz,
    is_follow_up boolean not null default false,
    preferred_workshop_id uuid
)
-- A request is written three or four times, and each leaves dead entries in the indexes of what is
-- pending, at the side where the sweep begins to read. So vacuum comes sooner than a fifth of all
-- requests, and does not leave the indexes out.
with (autovacuum_vacuum_scale_factor = 0.02, vacuum_index_cleanup = on);

create table if not exists dispatch.request_events (
    id bigint generated always as identity constraint request_events_pkey primary key,
    request_id uuid not null,
    event text not null,
    actor_id uuid,
    topics text[] not null default '{}',
    payload jsonb not null,
    created_at timestamptz not null default now(),
    delivered_at timestamptz
);

-- When notices were last sent, in milliseconds since 1970. A sequence, because reading and setting
-- it takes no row lock.
create sequence if not exists dispatch.last_delivery minvalue 0 start with 0;

create table if not exists dispatch.stripe_events (
    id text not null constraint stripe_events_pkey primary key,
    type text not null,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    processed_at timestamptz,
    outcome text,
    error text
);

comment on table dispatch.request_events is
'Append-only log: one row for each transition of a session request. id is the clients'' cursor.';
comment on column dispatch.request_events.actor_id is 'Who caused it; null is the system.';
comment on column dispatch.request_events.topics is
'Who is told, the customer''s topic first; empty: logged only.';
comment on column dispatch.request_events.delivered_at is
'When the notices were sent; null: the sweep will send them.';
comment on sequence dispatch.last_delivery is
'When notices were last sent, in milliseconds since 1970.';
comment on table dispatch.stripe_events is
'Ledger of verified Stripe webhook events. processed_at is null: not done, see error.';

-- For the same reason: the loop reads past each delivered event that is still in the index of the
-- undelivered. Not in "create table", as a log that is there already needs it too.
do $$
begin
    if
        exists (
            select from pg_catalog.pg_class
            where oid = 'dispatch.request_events'::regclass and reloptions is null
        )
    then
        alter table dispatch.request_events
        set (autovacuum_vacuum_scale_factor = 0.02, vacuum_index_cleanup = on);
    end if;
end;
$$;

-- No client has a grant; should one get it by mistake, it still reads nothing. Made once: again, it
-- would lock the tables.
do $$
begin
    if not exists (
        select from pg_catalog.pg_policies
        where schemaname = 'dispatch' and policyname = 'request_events_nobody'
    ) then
        alter table dispatch.request_events enable row level security;
        create policy request_events_nobody on dispatch.request_events using (false);
    end if;
    if not exists (
        select from pg_catalog.pg_policies
        where schemaname = 'dispatch' and policyname = 'stripe_events_nobody'
    ) then
        alter table dispatch.stripe_events enable row level security;
        create policy stripe_events_nobody on dispatch.stripe_events using (false);
    end if;
end;
$$;
revoke all on all tables in schema dispatch from public, anon, authenticated, service_role;
revoke all on all sequences in schema dispatch from public, anon, authenticated, service_role;
