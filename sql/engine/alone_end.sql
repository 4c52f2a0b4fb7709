select pg_advisory_unlock(1178687058, -3) as is_over
\gset
\if :is_over
\else
\warn 'The pooler gave this another connection to the server, and the first has its lock still.'
\warn 'Connect past the pooler next time (on Supabase: port 5432, not 6543). To end the first:'
\warn 'select pg_terminate_backend(l.pid) from pg_locks as l inner join pg_database as d'
\warn 'on d.oid = l.database where d.datname = current_database() and l.classid = 1178687058'
\warn 'and l.objid = 4294967293;'
\endif
\ir quiet_end.sql
