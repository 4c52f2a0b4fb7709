-- A marketplace that was there first, for the tests: a mechanic has an id of their own beside the
-- user's, statuses are text with a word of its own, plans cost a numeric, and a trigger sets when a
-- request expires. Run as the project's owner (postgres) in a Supabase project's database.
create table public.mechanics (
    id uuid primary key default gen_random_uuid(),
    user_id uuid unique references auth.users (id) on delete set null,
    created_at timestamptz not null default now(),
    name text,
    email text unique,
    phone text,
    application_status text default 'draft' check (
        application_status in ('draft', 'pending', 'under_review', 'approved', 'rejected')
    ),
    can_accept_sessions boolean default false,
    is_available boolean default true,
    last_updated timestamptz default now(),
    brand_specializations text[] default '{}',
    city text,
    country text default 'Canada',
    timezone text default 'America/Toronto',
    workshop_id uuid,
    stripe_account_id text,
    rating numeric default 0
);

create table public.customer_favorites (
    id uuid primary key default gen_random_uuid(),
    customer_id uuid references auth.users (id) on delete cascade,
    mechanic_id uuid references public.mechanics (id) on delete cascade,
    workshop_id uuid,
    added_at timestamptz default now(),
    total_services integer default 0,
    unique (customer_id, mechanic_id),
    unique (customer_id, workshop_id)
);

create table public.service_plans (
    id uuid primary key default gen_random_uuid(),
    slug text not null unique,
    name text not null,
    price numeric(10, 2) not null default 0,
    duration_minutes integer not null,
    description text not null,
    is_active boolean not null default true,
    display_order integer not null default 0,
    plan_type text default 'payg'
);

create table public.session_requests (
    id uuid primary key default gen_random_uuid(),
    created_at timestamptz not null default now(),
    customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid references auth.users (id) on delete set null,
    session_type text not null,
    plan_code text,
    status text not null default 'pending' check (
        status in ('pending', 'accepted', 'cancelled', 'expired', 'completed', 'unattended')
    ),
    customer_name text,
    customer_email text,
    accepted_at timestamptz,
    request_type text default 'general' check (request_type in ('general', 'brand_specialist')),
    requested_brand text,
    customer_country text,
    customer_city text,
    expires_at timestamptz,
    parent_session_id uuid,
    is_urgent boolean not null default false,
    workshop_id uuid,
    preferred_workshop_id uuid,
    routing_type text default 'broadcast' check (
        routing_type in ('workshop_only', 'broadcast', 'hybrid')
    )
);
create index idx_session_requests_status on public.session_requests (status);
create index session_requests_expires_idx on public.session_requests (expires_at)
where expires_at is not null and status = 'pending';

-- Its dashboard lists requests by this view, whose column "state" only the open ones share.
create view public.open_session_requests with (security_invoker = on) as
select id, session_type, plan_code, created_at, 'open' as state
from public.session_requests
where status = 'pending'
union all
select id, session_type, plan_code, created_at, status
from public.session_requests
where status <> 'pending';

create function public.get_authenticated_mechanic_id() returns uuid
language sql stable security definer set search_path = public
as $$ select m.id from public.mechanics as m where m.user_id = auth.uid() $$;

-- A request lives for 15 minutes. The backend's own cron route then calls the function below and
-- sends an e-mail for each id in its answer.
create function public.set_session_request_expiration() returns trigger
language plpgsql
as $$
begin
    if new.expires_at is null and new.status = 'pending' then
        new.expires_at := new.created_at + interval '15 minutes';
    end if;
    return new;
end;
$$;
create trigger trigger_set_session_request_expiration
before insert on public.session_requests
for each row execute function public.set_session_request_expiration();

create function public.expire_old_session_requests(out expired_count integer, out ids uuid[])
language sql security definer set search_path = public
as $$
    with expired as (
        update public.session_requests set status = 'expired'
        where status = 'pending' and expires_at < now()
        returning id
    )
    select count(*)::integer, coalesce(array_agg(id), '{}') from expired
$$;

alter table public.mechanics enable row level security;
alter table public.customer_favorites enable row level security;
alter table public.service_plans enable row level security;
alter table public.session_requests enable row level security;
create policy signed_in_all_mechanics on public.mechanics
for select to authenticated using (true);
create policy favourites_are_one_own on public.customer_favorites
to authenticated using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy anyone_plans_on_sale on public.service_plans
for select using (is_active);
create policy customers_read_their_own on public.session_requests
for select using (customer_id = auth.uid());
create policy customers_book on public.session_requests
for insert with check (customer_id = auth.uid());
create policy mechanics_read_what_is_pending on public.session_requests
for select using (status = 'pending' and public.get_authenticated_mechanic_id() is not null);
create policy mechanics_read_what_they_took on public.session_requests
for select using (mechanic_id = auth.uid());
create policy mechanics_take_what_is_pending on public.session_requests
for update using (status = 'pending' and public.get_authenticated_mechanic_id() is not null)
with check (mechanic_id = auth.uid());
grant select, insert, update, delete on all tables in schema public
to authenticated, service_role;
grant select on public.service_plans to anon;
