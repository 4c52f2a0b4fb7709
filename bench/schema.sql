-- The bare tables that the benchmarks compare with: same columns, indexes and checks, no triggers.
create schema bench;
create table bench.session_requests (like public.session_requests including all);
create sequence bench.turn;
create sequence bench.bare_turn;

create function bench.request_id(p_n bigint) returns uuid
language sql immutable
as $$ select ('00000000-0000-4000-9000-' || lpad(to_hex(p_n), 12, '0'))::uuid $$;

insert into auth.users (id, email)
values
('00000000-0000-4000-8000-00000000000a', 'mechanic@example.com'),
('00000000-0000-4000-8000-00000000000c', 'ada@example.com');
insert into public.mechanics (id, display_name, status)
values ('00000000-0000-4000-8000-00000000000a', 'Mechanic', 'approved');

grant usage on schema bench to authenticated;
grant usage on all sequences in schema bench to authenticated;
