select bench.accept_in_turn((:peer)::text, bench.request_id(:first + t.n), bench.favourite(t.n))
from (select nextval(('bench.' || (:peer)::text || '_turn')) as n) as t;
