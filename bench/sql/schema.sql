-- What the benchmarks compare with: the same rows in bare tables with the same columns, indexes,
-- checks and foreign keys, and no triggers.
create schema bench;
create table bench.session_requests (
    like public.session_requests including all,
    foreign key (customer_id) references auth.users (id),
    foreign key (mechanic_id) references auth.users (id),
    foreign key (preferred_mechanic_id) references public.mechanics (id)
);
create table bench.steps (like dispatch.steps including all);
-- The least that a log of what happened and a ledger of Stripe's events can be.
create table bench.log (
    id bigint generated always as identity primary key,
    request_id uuid not null,
    event text not null
);
create table bench.ledger (id text primary key, type text not null);
-- As presence is often kept: "last seen" has an index, so that no update can be HOT.
create table bench.mechanics (like public.mechanics including all);
create index on bench.mechanics (updated_at);

create sequence bench.turn start with 1000001;
create sequence bench.bare_turn start with 1000001;

create function bench.request_id(p_n bigint) returns uuid
language sql immutable
as $$ select ('00000000-0000-4000-9000-' || lpad(to_hex(p_n), 12, '0'))::uuid $$;

create function bench.user_id(p_n bigint) returns uuid
language sql immutable
as $$ select ('00000000-0000-4000-8000-' || lpad(p_n::text, 12, '0'))::uuid $$;

-- 1,000 mechanics and 10,000 customers.
insert into auth.users (id, email)
select
    bench.user_id(n),
    n || '@example.com'
from generate_series(1, 11000) as n;
insert into public.mechanics (id, display_name, status)
select
    bench.user_id(n),
    'Mechanic ' || n,
    'approved'
from generate_series(1, 1000) as n;
insert into bench.mechanics
select m.* from public.mechanics as m;

grant usage on schema bench to authenticated;
grant usage on all sequences in schema bench to authenticated;
