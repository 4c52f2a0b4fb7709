-- Changes cron.job_run_details, which pg_cron itself never empties.
create or replace function dispatch.prune_cron_runs(
    p_older_than interval,
    p_limit integer default 1000,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    -- pg_cron is in one database of a cluster: its tables are named only where it is.
    if
        not exists (select from pg_catalog.pg_extension where extname = 'pg_cron')
        -- As dispatch.health() says.
        or not has_schema_privilege('cron', 'usage')
    then
        return 0;
    end if;
    execute $q$
        delete from cron.job_run_details as d
        where
            d.runid = any(array(
                select old.runid from cron.job_run_details as old
                inner join cron.job as j on j.jobid = old.jobid
                where
                    j.jobname in (
                        'dispatch-sweep', 'dispatch-start', 'dispatch-retention', 'dispatch-push'
                    )
                    and j.database = current_database()
                    and coalesce(old.end_time, old.start_time) < $1
                order by old.runid
                limit $2
            ))
    $q$ using p_now - p_older_than, p_limit;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function dispatch.prune_cron_runs(interval, integer, timestamptz) is
'Deletes pg_cron''s record of up to p_limit runs of this product''s jobs older than this '
'at p_now. Returns how many.';
revoke all on function dispatch.prune_cron_runs(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
