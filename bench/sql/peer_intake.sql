select bench.book((:peer)::text, gen_random_uuid(), now() + interval '10 minutes');
