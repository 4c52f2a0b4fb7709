\set mechanic random(1, 1000)
update bench.mechanics
set is_online = true, updated_at = now()
where id = ('00000000-0000-4000-8000-' || lpad(:mechanic::text, 12, '0'))::uuid;
