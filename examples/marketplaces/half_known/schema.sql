-- A marketplace for the tests whose shape can be read in two ways: two columns of mechanics are a
-- user (who works, who owns the shop), two may say that one is approved; a price is an integer of
-- nobody knows which unit; and who a request is assigned to has no foreign key.
create table public.mechanics (
    id uuid primary key default gen_random_uuid(),
    user_id uuid references auth.users (id),
    owner_id uuid references auth.users (id),
    created_by uuid references auth.users (id),
    display_name text,
    status text not null default 'pending' check (status in ('pending', 'approved', 'left')),
    application_status text not null default 'new' check (
        application_status in ('new', 'approved', 'rejected')
    ),
    is_online boolean,
    is_available boolean,
    "Brands we fix" text,  -- noqa: RF05
    deleted_at timestamptz
);

create table public.customer_favorites (
    customer_id uuid not null references auth.users (id),
    mechanic_id uuid not null,
    unique (customer_id, mechanic_id)
);

create table public.service_plans (
    slug text not null unique,
    code text not null unique,
    name text,
    price integer not null
);

create table public.session_requests (
    id uuid primary key default gen_random_uuid(),
    created_at timestamptz not null default now(),
    customer_id uuid not null,
    mechanic_id uuid,
    session_type text not null,
    plan_code text,
    status text not null default 'pending'
);

alter table public.mechanics enable row level security;
alter table public.customer_favorites enable row level security;
alter table public.service_plans enable row level security;
alter table public.session_requests enable row level security;
grant select, insert, update, delete on all tables in schema public to service_role;
