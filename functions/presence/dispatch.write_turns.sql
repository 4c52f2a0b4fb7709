-- Changes public.session_requests, or dispatch.windows, through dispatch.requests.
create or replace function dispatch.write_turns(
    p_mechanic_ids uuid[],
    p_customer_ids uuid[] default null,
    p_besides_id uuid default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Written again as it is, it is looked at by the clock (dispatch.take_steps), and announced by
    -- the sweep. What somebody holds is written by them.
    perform dispatch.announce_each(
        array(
            select r.id from dispatch.requests as r
            where
                r.id = any(array(
                    select s.request_id from dispatch.steps as s
                    where s.mechanic_id = any(p_mechanic_ids)
                ))
                and (p_customer_ids is null or r.customer_id = any(p_customer_ids))
                and r.id is distinct from p_besides_id
                and r.is_pending and r.announced_at is null and r.window_ends_at <= now()
            for update skip locked
        ),
        null
    );
end;
$$;

comment on function dispatch.write_turns(uuid[], uuid[], uuid) is
'Before it changes whether one of these mechanics can be asked (by one of these customers; null: '
'by anyone), whose turn came by the clock until now is written, so that it stays what it was. Of '
'all requests but p_besides_id.';
revoke all on function dispatch.write_turns(uuid[], uuid[], uuid)
from public, anon, authenticated, service_role;
