-- As a random mechanic, in one round trip.
\set mechanic random(1, 1000)
select public.set_presence('online')
from set_config(
    'request.jwt.claims',
    '{"role": "authenticated", "sub": "00000000-0000-4000-8000-'
    || lpad(:mechanic::text, 12, '0') || '"}',
    false
);
