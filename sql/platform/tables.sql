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

create index if not exists customer_favorites_mechanic_id_idx
on public.customer_favorites (mechanic_id);

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
);

-- One request for each Checkout Session, however often its events come.
create unique index if not exists session_requests_stripe_checkout_session_id_key
on public.session_requests ((metadata ->> 'stripe_checkout_session_id'))
where (metadata ->> 'stripe_checkout_session_id') is not null;

-- A refund names the payment, not the Checkout Session.
create index if not exists session_requests_stripe_payment_intent_idx
on public.session_requests ((metadata ->> 'stripe_payment_intent'))
where (metadata ->> 'stripe_payment_intent') is not null;

create index if not exists session_requests_customer_id_idx
on public.session_requests (customer_id, created_at);

create index if not exists session_requests_mechanic_id_idx
on public.session_requests (mechanic_id) where mechanic_id is not null;

-- What a mechanic may accept, oldest first.
create index if not exists session_requests_pending_idx
on public.session_requests (created_at) where status = 'pending';

-- What the sweep must expire, earliest first.
create index if not exists session_requests_expiry_idx
on public.session_requests (expires_at) where status = 'pending';

-- What dispatch.health() says must be refunded.
create index if not exists session_requests_refund_due_idx
on public.session_requests (expires_at)
where
status = 'expired' and (metadata ->> 'stripe_payment_intent') is not null
and not metadata ? 'refunded_at';

-- The sweep marks the silent ones offline. Keyed by id, not by updated_at, so that a heartbeat
-- touches no index and its update stays HOT.
create index if not exists mechanics_online_idx on public.mechanics (id) where is_online;

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

-- Who declined a request. Few do, so that most events do not touch this index.
create index if not exists request_events_declined_idx
on dispatch.request_events (request_id, actor_id) where event = 'request_declined';

-- A customer's catch-up and timelines: the customer's topic always comes first in topics.
create index if not exists request_events_first_topic_idx
on dispatch.request_events ((topics[1]), id);

-- delivered_at leads, so that no other index can serve the order and be chosen by mistake.
create index if not exists request_events_undelivered_idx
on dispatch.request_events (delivered_at, id) where delivered_at is null;

-- When the last inline delivery happened, in ticks of 20 ms since 1970. A sequence, because reading
-- and setting it takes no row lock.
create sequence if not exists dispatch.last_inline_delivery minvalue 0 start with 0;

create table if not exists dispatch.stripe_events (
    id text not null constraint stripe_events_pkey primary key,
    type text not null,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    processed_at timestamptz,
    outcome text,
    error text
);

create index if not exists stripe_events_unprocessed_idx
on dispatch.stripe_events (received_at) where processed_at is null;

-- What retention deletes, oldest first.
create index if not exists stripe_events_received_at_idx on dispatch.stripe_events (received_at);

-- A refund that came before its payment is found by the payment it names.
create index if not exists stripe_events_refunded_payment_idx
on dispatch.stripe_events ((payload #>> '{data,object,payment_intent}'))
where type = 'charge.refunded';

comment on table dispatch.request_events is
'Append-only log: one row for each transition of a session request. id is the clients'' cursor.';
comment on column dispatch.request_events.actor_id is 'Who caused it; null is the system.';
comment on column dispatch.request_events.topics is
'Who is told, the customer''s topic first; empty: logged only.';
comment on column dispatch.request_events.delivered_at is
'When the notices were sent; null: the sweep will send them.';
comment on sequence dispatch.last_inline_delivery is
'Time of the last inline delivery, in ticks of 20 ms since 1970.';
comment on table dispatch.stripe_events is
'Ledger of verified Stripe webhook events. processed_at is null: not done, see error.';

-- No client has a grant; should one get it by mistake, it still reads nothing.
alter table dispatch.request_events enable row level security;
alter table dispatch.stripe_events enable row level security;
drop policy if exists request_events_nobody on dispatch.request_events;
create policy request_events_nobody on dispatch.request_events using (false);
drop policy if exists stripe_events_nobody on dispatch.stripe_events;
create policy stripe_events_nobody on dispatch.stripe_events using (false);
revoke all on all tables in schema dispatch from public, anon, authenticated, service_role;
revoke all on all sequences in schema dispatch from public, anon, authenticated, service_role;
