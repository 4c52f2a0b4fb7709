-- A marketplace for the tests that grew for years: domains for ids and times, citext, the words of
-- a status in a table, a time of approval and one of suspension, favourites that are taken back
-- without being deleted, an expiry that the table computes, keys that may change, an archive that
-- inherits, and row level security for the owner too.
create extension if not exists citext with schema extensions;
create domain public.key_id as uuid;
create domain public.moment as timestamptz;

create table public.request_states (
    word extensions.citext primary key,
    label text not null
);
insert into public.request_states values
('pending', 'Waiting'), ('accepted', 'Taken'), ('cancelled', 'Called off'), ('expired', 'Too late'),
('completed', 'Done'), ('paused', 'Interrupted');

create table public.mechanics (
    id public.key_id not null default gen_random_uuid(),
    account public.key_id not null unique references auth.users (id) on delete cascade,
    business_name extensions.citext not null,
    approved_at public.moment,
    suspended_at public.moment,
    brands jsonb,
    town extensions.citext
);
create unique index mechanics_key on public.mechanics (id) include (business_name);

create table public.customer_favorites (
    customer_id public.key_id not null references auth.users (id) on delete cascade,
    mechanic_id public.key_id not null references public.mechanics (id)
    on update cascade on delete cascade,
    added_at public.moment not null default now(),
    unfavorited_at public.moment,
    primary key (customer_id, mechanic_id)
);

create table public.service_plans (
    code extensions.citext primary key,
    label extensions.citext not null,
    session_type extensions.citext not null,
    price_cents smallint not null
);

create table public.session_requests (
    id public.key_id primary key default gen_random_uuid(),
    created_at public.moment not null default now(),
    opened timestamp not null default (now() at time zone 'UTC'),
    customer_id public.key_id not null references auth.users (id) on delete cascade,
    mechanic_id public.key_id references public.mechanics (id)
    on update cascade on delete set null,
    session_type extensions.citext not null,
    plan_code extensions.citext references public.service_plans (code) on update cascade,
    status extensions.citext not null default 'pending' references public.request_states (word),
    accepted_at public.moment,
    requested_brand jsonb,
    expires_at timestamp generated always as (opened + interval '20 minutes') stored
);
create unique index one_free_session on public.session_requests (customer_id)
where plan_code = 'free' and status = 'pending';
create table public.session_requests_archive (archived_at public.moment not null default now())
inherits (public.session_requests);

-- Whole rows, as they are and as JSON.
create table public.request_log (
    at public.moment not null default now(),
    row_before jsonb,
    row_after public.session_requests  -- noqa: RF01
);
create function public.log_request() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
    insert into public.request_log (row_before, row_after)
    values (case when tg_op <> 'INSERT' then to_jsonb(old) end, new);
    return null;
end;
$$;
create trigger log_request after insert or update on public.session_requests
for each row execute function public.log_request();
create function public.my_requests() returns setof public.session_requests
language sql stable set search_path = ''
as $$ select * from public.session_requests as r where r.customer_id = auth.uid() $$;

alter table public.mechanics enable row level security;
alter table public.customer_favorites enable row level security;
alter table public.service_plans enable row level security;
alter table public.request_log enable row level security;
alter table public.session_requests enable row level security;
alter table public.session_requests force row level security;
create policy read_approved on public.mechanics
for select using (approved_at is not null or account = auth.uid());
create policy read_plans on public.service_plans for select using (true);
create policy own_favourites on public.customer_favorites
using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy own_requests on public.session_requests
using (customer_id = auth.uid()) with check (customer_id = auth.uid());
create policy pending_or_mine on public.session_requests
for select using (
    exists (
        select from public.mechanics as m
        where
            m.account = auth.uid() and m.approved_at is not null
            and (session_requests.status = 'pending' or m.id = session_requests.mechanic_id)
    )
);
create policy take on public.session_requests
for update using (
    status = 'pending'
    and exists (
        select from public.mechanics as m
        where m.account = auth.uid() and m.approved_at is not null
    )
)
with check (
    mechanic_id in (
        select m.id from public.mechanics as m
        where m.account = auth.uid()
    )
);
create policy only_signed_in on public.session_requests as restrictive
for select using (current_user <> 'anon');
grant select, insert, update, delete on all tables in schema public
to authenticated, service_role;
