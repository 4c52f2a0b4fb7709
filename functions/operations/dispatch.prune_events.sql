-- Changes dispatch.request_events.
create or replace function dispatch.prune_events(
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
    v_before constant timestamptz := p_now - p_older_than;
    v_count integer;
begin
    -- First, as what went with a customer's account, paid and not completed, is found by them.
    v_count := dispatch.scrub_stripe_events(interval '1000 years', p_limit, p_now);
    if v_count >= p_limit then
        return v_count;
    end if;
    -- A pending request keeps its events: who declined is not asked again. So does what somebody must
    -- look at.
    delete from dispatch.request_events as e
    where
        e.id = any(array(
            select old.id from dispatch.request_events as old
            where
                old.id < dispatch.first_event_id_since(v_before)
                and old.created_at < v_before
                and old.delivered_at is not null
                and not exists (
                    select from dispatch.requests as r
                    where r.id = old.request_id and r.is_pending
                )
                and not exists (
                    select from dispatch.unsettled_requests(p_now, null) as s
                    where s.request_id = old.request_id
                )
            order by old.id
            limit p_limit
            for update of old skip locked
        ));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function dispatch.prune_events(interval, integer, timestamptz) is
'Deletes up to p_limit events older than this at p_now, but none undelivered and none of a request '
'still pending or unsettled (dispatch.unsettled_requests). Returns how many; or, where as many '
'Stripe events are to be scrubbed first, how many of those.';
revoke all on function dispatch.prune_events(interval, integer, timestamptz)
from public, anon, authenticated, service_role;
