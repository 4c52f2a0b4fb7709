-- As the next mechanic in turn, each of whom was last heard from long ago.
select public.set_presence('online')
from set_config(
    'request.jwt.claims',
    '{"role": "authenticated", "sub": "00000000-0000-4000-8000-'
    || lpad((:first + nextval('bench.turn') % :mechanics)::text, 12, '0') || '"}',
    false
);
