-- Changes dispatch.pushes, dispatch.devices; the request, when its favourite cannot be reached.
create or replace function dispatch.record_answers(
    p_answers jsonb,
    p_now timestamptz default now()
)
returns integer
language plpgsql
volatile
-- definer: the sender's role has no business in dispatch
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer record;
    v_push dispatch.pushes;
    v_due_at timestamptz;
    v_outcome text;
    v_count integer := 0;
begin
    begin
        perform from jsonb_to_recordset(p_answers)
            as a (push_id bigint, status integer, retry_after numeric);
    exception
        when data_exception then
            perform dispatch.raise_error('invalid_answers');
    end;
    for v_answer in
        -- In the order of ids, so that two senders never wait for each other.
        select a.push_id, a.status, a.retry_after
        from jsonb_to_recordset(p_answers) as a (push_id bigint, status integer, retry_after numeric)
        order by a.push_id
    loop
        -- Found by id alone: with the filter, a plan made while little was queued reads all of it.
        select * into v_push from dispatch.pushes as p where p.id = v_answer.push_id for update;
        continue when v_push.id is null or v_push.finished_at is not null;
        v_count := v_count + 1;
        v_outcome := case
            when v_answer.status between 200 and 299 then 'sent'
            when v_answer.status in (404, 410) then 'gone'
            when v_answer.status in (408, 429) or v_answer.status >= 500 then null
            when v_answer.status is not null then 'refused'
        end;
        if v_outcome is null then
            -- No answer, or not now.
            v_due_at := p_now + make_interval(
                secs => greatest(
                    least(coalesce(v_answer.retry_after, 0), 86400),
                    -- (No sum is out of range, however often and for how long.)
                    least(power(2, least(v_push.attempts, 6)), 60) * (0.75 + random() / 2)
                )
            );
            if v_due_at >= v_push.expires_at then
                v_outcome := 'given_up';
            end if;
        end if;
        update dispatch.pushes
        set
            due_at = coalesce(v_due_at, due_at),
            finished_at = case when v_outcome is not null then p_now end,
            outcome = v_outcome,
            status = v_answer.status
        where id = v_push.id;
        v_due_at := null;
        if v_outcome = 'gone' then
            delete from dispatch.devices as d where d.endpoint = v_push.endpoint;
            perform dispatch.end_unreachable_window(v_push.request_id, v_push.user_id, p_now);
        end if;
    end loop;
    return v_count;
end;
$$;

comment on function dispatch.record_answers(jsonb, timestamptz) is 'Behind public.finish_pushes.';
revoke all on function dispatch.record_answers(jsonb, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function dispatch.record_answers(jsonb, timestamptz) to service_role;
