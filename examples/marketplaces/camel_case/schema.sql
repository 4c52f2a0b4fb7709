-- A marketplace for the tests whose columns were named by an object mapper: camelCase, in quotes.
-- A status is a domain; favourites of several kinds stand in one column without a foreign key; and
-- it had a preferred_mechanic_id, with an index, before the feature came.
create domain public.request_state as text check (
    value in ('pending', 'accepted', 'cancelled', 'expired', 'completed', 'noShow')
);

create table public.mechanics (
    id uuid primary key default gen_random_uuid(),
    "userId" uuid not null unique references auth.users (id) on delete cascade,
    "displayName" text,
    "isApproved" boolean not null default false,
    "isOnline" boolean not null default false,
    "lastSeen" timestamptz,
    "carBrands" text[],
    "deletedAt" timestamptz,
    "createdAt" timestamptz not null default now()
);

create table public.customer_favorites (
    id uuid primary key default gen_random_uuid(),
    "customerId" uuid not null references auth.users (id) on delete cascade,
    "favoriteType" text not null check ("favoriteType" in ('mechanic', 'workshop')),
    "favoriteId" uuid not null,
    "createdAt" timestamptz not null default now()
);

create table public.service_plans (
    code text primary key,
    "displayName" text,
    "sessionType" text,
    "priceCents" integer not null,
    currency char(3) not null default 'USD',
    "isActive" boolean not null default true
);

create table public.session_requests (
    id uuid primary key default gen_random_uuid(),
    created_at timestamptz not null default now(),
    customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid references auth.users (id) on delete set null,
    session_type text not null,
    status public.request_state not null default 'pending',
    plan_code text references public.service_plans (code),
    accepted_at timestamptz,
    preferred_mechanic_id uuid references public.mechanics (id) on delete set null
);
create index session_requests_preferred_mechanic_idx
on public.session_requests (preferred_mechanic_id);

alter table public.mechanics enable row level security;
alter table public.customer_favorites enable row level security;
alter table public.service_plans enable row level security;
alter table public.session_requests enable row level security;
create policy read_approved on public.mechanics
for select using ("isApproved" or "userId" = auth.uid());
create policy read_active on public.service_plans for select using ("isActive");
create policy own_favourites on public.customer_favorites
using ("customerId" = auth.uid()) with check ("customerId" = auth.uid());
create policy own_requests on public.session_requests
using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy pending_or_mine on public.session_requests
for select using (
    mechanic_id = auth.uid()
    or (
        status = 'pending'
        and exists (
            select from public.mechanics as m
            where m."userId" = auth.uid() and m."isApproved"
        )
    )
);
create policy take on public.session_requests
for update using (
    status = 'pending'
    and exists (
        select from public.mechanics as m
        where m."userId" = auth.uid() and m."isApproved"
    )
)
with check (mechanic_id = auth.uid());
grant select, insert, update, delete on all tables in schema public
to authenticated, service_role;
