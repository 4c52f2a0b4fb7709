-- By the clock alone: whether or not anything was announced, it says whose turn it is and was.
create or replace function dispatch.due_steps(
    p_request_id uuid,
    p_customer_id uuid,
    p_over_at timestamptz,
    p_now timestamptz
)
returns table (
    turn integer, mechanic_id uuid, user_id uuid, skipped text, window_minutes integer,
    began_at timestamptz, ends_at timestamptz
)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_step record;
begin
    ends_at := p_over_at;
    for v_step in
        select s.turn, s.mechanic_id, s.window_minutes, m.user_id, m.is_approved
        from dispatch.steps as s
        -- Each by its id (offset 0), not all that there are.
        left join
            lateral (
                select n.user_id, n.is_approved from dispatch.mechanics as n
                where n.id = s.mechanic_id
                offset 0
            ) as m on true
        where s.request_id = p_request_id
        order by s.turn
    loop
        exit when ends_at > p_now;
        turn := v_step.turn;
        mechanic_id := v_step.mechanic_id;
        user_id := v_step.user_id;
        skipped := dispatch.why_not_asked(
            v_step.mechanic_id, v_step.user_id, v_step.is_approved, p_customer_id
        );
        window_minutes := v_step.window_minutes;
        began_at := ends_at;
        if skipped is null then
            ends_at := began_at + make_interval(mins => window_minutes);
        end if;
        return next;
    end loop;
end;
$$;

comment on function dispatch.due_steps(uuid, uuid, timestamptz, timestamptz) is
'The steps of a request whose turn has come by p_now, when the window before them is over at '
'p_over_at: whom, from when until when, or why they are passed over. The last one''s window may be '
'open.';
revoke all on function dispatch.due_steps(uuid, uuid, timestamptz, timestamptz)
from public, anon, authenticated, service_role;
