\set n random(1, 1000)
select r.mechanic_id from dispatch.choose_recipients(bench.request_id(:n), 50) as r;
