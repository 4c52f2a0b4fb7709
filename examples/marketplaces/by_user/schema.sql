-- A marketplace for the tests in which a mechanic is known by the user's id alone: favourites and
-- requests point to auth.users. Statuses are text, a plan costs a bigint in minor units, and a
-- request expires by a column's default.
create table public.mechanics (
    id uuid primary key references auth.users (id) on delete cascade,
    full_name text not null,
    status text not null default 'applied' check (
        status in ('applied', 'approved', 'paused', 'banned')
    ),
    online boolean not null default false,
    last_seen timestamptz,
    makes text,
    town text,
    country_code text not null default 'de'
);

create table public.customer_favorites (
    user_id uuid not null references auth.users (id) on delete cascade,
    mechanic_user_id uuid not null references auth.users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (user_id, mechanic_user_id)
);

create table public.service_plans (
    code text primary key,
    title text not null,
    session_type text not null,
    amount bigint not null check (amount >= 0),
    currency text not null default 'EUR',
    archived boolean not null default false
);

create table public.session_requests (
    id uuid primary key default gen_random_uuid(),
    created_at timestamptz not null default now(),
    updated_at timestamptz,
    customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid references auth.users (id) on delete set null,
    session_type text not null check (session_type in ('chat', 'call', 'visit')),
    plan_code text references public.service_plans (code),
    status text not null default 'pending' check (
        status in (
            'pending', 'accepted', 'on_the_way', 'cancelled', 'expired', 'completed', 'disputed'
        )
    ),
    notes text,
    accepted_at timestamptz,
    expires_at timestamptz not null default now() + interval '20 minutes',
    metadata jsonb not null default '{}'
);

alter table public.mechanics enable row level security;
alter table public.customer_favorites enable row level security;
alter table public.service_plans enable row level security;
alter table public.session_requests enable row level security;
create policy mechanics_read on public.mechanics
for select to authenticated using (status = 'approved' or id = auth.uid());
create policy favorites_own on public.customer_favorites
to authenticated using (user_id = auth.uid()) with check (user_id = auth.uid());
create policy plans_read on public.service_plans
for select using (not archived);
create policy requests_customer on public.session_requests
to authenticated using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy requests_mechanic_read on public.session_requests
for select to authenticated using (
    mechanic_id = auth.uid()
    or (
        status = 'pending'
        and exists (
            select from public.mechanics as m
            where m.id = auth.uid() and m.status = 'approved'
        )
    )
);
create policy requests_mechanic_take on public.session_requests
for update to authenticated using (status = 'pending') with check (mechanic_id = auth.uid());
grant select, insert, update, delete on all tables in schema public
to authenticated, service_role;
