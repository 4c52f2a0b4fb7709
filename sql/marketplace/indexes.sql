-- Built while others write, which no transaction can do. (The migration leaves "concurrently" out:
-- the Supabase CLI runs each file as one transaction.)

create index concurrently if not exists customer_favorites_mechanic_id_idx
on public.customer_favorites (mechanic_id);

-- One request for each Checkout Session, however often its events come.
create unique index concurrently if not exists session_requests_stripe_checkout_session_id_key
on public.session_requests ((metadata ->> 'stripe_checkout_session_id'))
where (metadata ->> 'stripe_checkout_session_id') is not null;

-- A refund names the payment, not the Checkout Session.
create index concurrently if not exists session_requests_stripe_payment_intent_idx
on public.session_requests ((metadata ->> 'stripe_payment_intent'))
where (metadata ->> 'stripe_payment_intent') is not null;

create index concurrently if not exists session_requests_customer_id_idx
on public.session_requests (customer_id, created_at);

create index concurrently if not exists session_requests_mechanic_id_idx
on public.session_requests (mechanic_id) where mechanic_id is not null;

-- What every mechanic may accept, oldest first.
create index concurrently if not exists session_requests_open_idx
on public.session_requests (created_at)
where status = 'pending' and notification_sent_at is not null;

-- What the sweep must expire, earliest first.
create index concurrently if not exists session_requests_expiry_idx
on public.session_requests (expires_at) where status = 'pending';

-- What dispatch.unsettled_payments() looks through: accepted and not completed, or ended and its
-- payment not refunded.
create index concurrently if not exists session_requests_unsettled_idx
on public.session_requests (updated_at)
where
status = 'accepted'
or (
    status in ('cancelled', 'expired') and (metadata ->> 'stripe_payment_intent') is not null
    and not metadata ? 'refunded_at'
);

-- The one that it took the place of.
drop index concurrently if exists public.session_requests_refund_due_idx;

-- The sweep marks the silent ones offline. Keyed by id, not by updated_at, so that a heartbeat
-- touches no index and its update stays HOT.
create index concurrently if not exists mechanics_online_idx
on public.mechanics (id) where is_online;
