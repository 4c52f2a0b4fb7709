do $$
declare
    v_name text;
begin
    foreach v_name in array
        array[
            'session_requests_priority_deadline_idx', 'session_requests_priority_notified_idx',
            'session_requests_preferred_mechanic_idx'
        ]
    loop
        if v_name not in (select b.what from dispatch.found_before as b) then
            execute pg_catalog.format('drop index if exists public.%I', v_name);
        end if;
    end loop;
    foreach v_name in array
        array['preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at']
    loop
        if v_name not in (select b.what from dispatch.found_before as b) then
            execute pg_catalog.format(
                'alter table public.session_requests drop column if exists %I', v_name
            );
        end if;
    end loop;
    delete from dispatch.found_before;
    comment on column dispatch.found_before.what is null;
end;
$$;
