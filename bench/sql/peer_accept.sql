select bench.accept(
    (:peer)::text, bench.request_id(:first + nextval(('bench.' || (:peer)::text || '_turn')))
);
