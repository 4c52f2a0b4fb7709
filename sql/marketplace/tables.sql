-- Made once: a table that is there already is left as it is, but for its grants (grants.sql).
create temporary table tables_before on commit drop as
select relname from pg_catalog.pg_class
where
    relnamespace = 'public'::regnamespace
    and relname in ('mechanics', 'customer_favorites', 'service_plans', 'session_requests');

do $$
begin
    if to_regtype('public.session_type') is null then
        create type public.session_type as enum ('diagnostic', 'chat', 'video');
        comment on type public.session_type is 'Reference marketplace: what a session is.';
    end if;
    if to_regtype('public.session_request_status') is null then
        create type public.session_request_status as enum (
            'pending', 'accepted', 'cancelled', 'expired', 'completed'
        );
        comment on type public.session_request_status is
        'Reference marketplace: what became of a request.';
    end if;
end;
$$;

create table if not exists public.mechanics (
    id uuid not null constraint mechanics_pkey primary key
    constraint mechanics_id_fkey references auth.users (id) on delete cascade,
    display_name text
    constraint mechanics_display_name_check check (length(display_name) <= 200),
    status text default 'pending'
    constraint mechanics_status_check check (status in ('pending', 'approved', 'suspended')),
    is_online boolean not null default false,
    -- A profile is its mechanic's to write, and each brand is paid for by all who look for one.
    brands text[] not null default '{}'
    constraint mechanics_brands_check check (
        pg_catalog.cardinality(brands) <= 50
        and coalesce(pg_catalog.array_ndims(brands), 1) = 1
        and length(pg_catalog.array_to_string(brands, '')) <= 5000
    ),
    country text constraint mechanics_country_check check (length(country) <= 100),
    city text constraint mechanics_city_check check (length(city) <= 100),
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

-- By these sql/discover.sql and up.sql know them again.
comment on table public.mechanics is
'Reference marketplace: who takes requests. Only a mechanic whose status is approved may.';
comment on table public.customer_favorites is
'Reference marketplace: the mechanics a customer would book again.';
comment on table public.service_plans is 'Reference marketplace: what is sold.';
comment on table public.session_requests is
'Reference marketplace: one row for each booking of a session, paid or free.';
