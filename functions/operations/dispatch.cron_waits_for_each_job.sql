-- What pg_cron itself does is in its library, which may be newer than the extension's version: that
-- must be updated by itself. So this may be true where all is well, and only ever is a hint.
create or replace function dispatch.cron_waits_for_each_job()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select from pg_catalog.pg_extension as e
        -- Not current_setting(), which raises where the setting is not shown.
        inner join pg_catalog.pg_settings as s on s.name = 'cron.use_background_workers'
        where
            e.extname = 'pg_cron' and s.setting = 'on'
            and string_to_array(regexp_replace(e.extversion, '[^0-9.].*$', ''), '.')::integer[]
            < array[1, 5]
    );
end;
$$;

comment on function dispatch.cron_waits_for_each_job() is
'Whether pg_cron waits for one job to end before it begins another, as it does before 1.5 with '
'cron.use_background_workers. Any job that takes long then holds up the sweep.';
revoke all on function dispatch.cron_waits_for_each_job()
from public, anon, authenticated, service_role;
