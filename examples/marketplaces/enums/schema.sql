-- A marketplace for the tests with enums of its own names and words, and varchar columns. A
-- mechanic has an id beside the user's, and requests are assigned to that id. Favourites and plans
-- have other names than ours; metadata and notification_sent_at are written by its mailer.
create type public.booking_kind as enum ('chat', 'video', 'garage_visit');
create type public.booking_state as enum (
    'draft', 'pending', 'accepted', 'in_progress', 'completed', 'cancelled', 'expired', 'refunded'
);

create table public.mechanics (
    id uuid primary key default gen_random_uuid(),
    profile_id uuid not null unique references auth.users (id) on delete cascade,
    first_name varchar(60) not null,
    last_name varchar(60),
    verified boolean not null default false,
    brands jsonb not null default '[]',
    city varchar(80),
    country varchar(2)
);

create table public.plans (
    id uuid primary key default gen_random_uuid(),
    key varchar(40) not null unique,
    label varchar(80) not null,
    price_cents integer not null,
    active boolean not null default true
);

create table public.favorite_mechanics (
    customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid not null references public.mechanics (id) on delete cascade,
    inserted_at timestamp not null default now(),
    primary key (customer_id, mechanic_id)
);

create table public.session_requests (
    id uuid primary key default gen_random_uuid(),
    created_at timestamp not null default now(),
    customer_id uuid not null references auth.users (id) on delete cascade,
    mechanic_id uuid references public.mechanics (id) on delete set null,
    session_type public.booking_kind not null default 'chat',
    plan_code varchar(40),
    status public.booking_state not null default 'pending',
    customer_email varchar(200),
    notification_sent_at timestamptz,
    metadata jsonb
);

-- The mailer: each request is mailed once, to whom its metadata says.
create function public.claim_mails(p_limit integer) returns setof public.session_requests
language sql security definer set search_path = ''
as $$
    update public.session_requests as r set notification_sent_at = now()
    where
        r.id in (
            select w.id from public.session_requests as w
            where w.notification_sent_at is null and w.metadata ? 'mail_to'
            order by w.created_at limit p_limit for update skip locked
        )
    returning r.*
$$;

alter table public.mechanics enable row level security;
alter table public.plans enable row level security;
alter table public.favorite_mechanics enable row level security;
alter table public.session_requests enable row level security;
create policy read_verified on public.mechanics
for select using (verified or profile_id = auth.uid());
create policy read_active on public.plans for select using (active);
create policy own_favourites on public.favorite_mechanics
using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy own_requests on public.session_requests
using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy pending_or_mine on public.session_requests
for select using (
    exists (
        select from public.mechanics as m
        where
            m.profile_id = auth.uid() and m.verified
            and (session_requests.status = 'pending' or m.id = session_requests.mechanic_id)
    )
);
create policy take on public.session_requests
for update using (
    status = 'pending'
    and exists (
        select from public.mechanics as m
        where m.profile_id = auth.uid() and m.verified
    )
)
with check (
    mechanic_id in (
        select m.id from public.mechanics as m
        where m.profile_id = auth.uid()
    )
);
grant select, insert, update, delete on all tables in schema public
to authenticated, service_role;
