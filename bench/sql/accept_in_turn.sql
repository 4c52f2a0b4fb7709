-- As the request's favourite, in one round trip.
select a.id
from (select nextval('bench.turn') as n) as t
cross join
    lateral set_config(
        'request.jwt.claims',
        '{"role": "authenticated", "sub": "' || bench.favourite(t.n) || '"}',
        false
    ) as c (claims)
cross join
    lateral public.accept_session_request(
        case when c.claims is not null then bench.request_id(t.n) end
    ) as a;
