\set ON_ERROR_STOP on
\ir quiet_begin.sql
\pset footer off
\pset format wrapped
\pset columns 130
begin;
\ir may_look.sql
set local search_path = '';
-- Who has a whole table would hold this up for ever.
set local lock_timeout = '2s';
-- What is there is compared as PostgreSQL writes it.
set local quote_all_identifiers = off;
set local intervalstyle = postgres;
-- And patterns are read as they are written.
set local standard_conforming_strings = on;
-- Compiling a check takes longer than running it.
set local jit = off;
-- What is found is kept in a setting, as a standby makes no temporary table.
select set_config('favorites_priority.checks', '[]', true) as kept
\gset

-- What may be granted besides rows and columns; PostgreSQL before 17 does not know the last.
select
    set_config(
        'favorites_priority.last_privileges',
        case
            when current_setting('server_version_num')::integer < 170000 then 'trigger'
            else 'trigger, maintain'
        end,
        true
    ) as kept
\gset

select to_regprocedure('dispatch.governs_all()') is not null as is_bound
\gset
\if :is_bound
select coalesce(dispatch.governs_all(), true) as governs_all
\gset
\else
\set governs_all true
\endif
select set_config('favorites_priority.governs_all', :'governs_all', true) as kept
\gset
