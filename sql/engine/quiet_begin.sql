-- From here on warnings and errors alone are printed, and a word at the end: quiet_end.sql.
\set ON_ERROR_STOP on
\set was_quiet :QUIET
\set QUIET on
select
    current_setting('client_min_messages') as told_before,
    set_config('client_min_messages', 'warning', false) as told
\gset
