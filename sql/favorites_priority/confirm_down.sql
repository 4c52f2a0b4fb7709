-- Says what down.sql would lose, and goes on if that was confirmed. Nothing is lost of a request
-- whose window the event log has: for whom, how long, until when.
do $$
declare
    v_count bigint;
    v_first date;
    v_last date;
begin
    if to_regprocedure('dispatch.set_favorites_priority(boolean)') is null then
        raise object_not_in_prerequisite_state using
            message = 'the feature is not installed, or only in part',
            hint = 'If its columns are there, run up.sql first.';
    end if;
    if current_setting('favorites_priority.confirm_down', true) = 'yes' then
        return;
    end if;
    select count(*), min(r.created_at)::date, max(r.created_at)::date
    into v_count, v_first, v_last
    from public.session_requests as r
    where
        -- What was there before the feature stays.
        (
            (
                r.preferred_mechanic_id is not null
                and 'preferred_mechanic_id' not in (select b.what from dispatch.found_before as b)
            )
            or (
                r.priority_window_minutes is not null
                and 'priority_window_minutes'
                not in (select b.what from dispatch.found_before as b)
            )
            or (
                r.priority_notified_at is not null
                and 'priority_notified_at' not in (select b.what from dispatch.found_before as b)
            )
        )
        and not exists (
            select from dispatch.request_events as e
            where e.request_id = r.id and e.event = 'priority_request'
        );
    if v_count > 0 then
        raise object_not_in_prerequisite_state using
            message = format(
                '%s session_requests of %s to %s would lose preferred_mechanic_id, '
                'priority_window_minutes and priority_notified_at, which the event log does not '
                'have; nothing was changed',
                v_count, v_first, v_last
            ),
            hint = 'Save them first if they are needed. Then run it again with: '
            'psql … -c "set favorites_priority.confirm_down = yes" -f down.sql';
    end if;
end;
$$;
