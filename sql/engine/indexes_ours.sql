-- On a marketplace of ours alone: no table of theirs gets an index for what the engine asks of it.

-- A heartbeat changes neither words nor predicate.
create index concurrently if not exists mechanics_matches_idx
on public.mechanics
using gin (dispatch.mechanic_words(id, is_online, brands, city, country))
-- Without a list of pending entries, which each look-up would have to read.
with (fastupdate = off)
where status = 'approved';
