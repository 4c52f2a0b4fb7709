select pg_advisory_unlock(1178687058, -3) as is_over
\gset
\ir quiet_end.sql
