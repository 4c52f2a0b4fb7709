-- The Realtime server makes the day partitions of realtime.messages ahead of time; here this does.
-- Run by the superuser supabase_admin. Repeating it is harmless.
set client_min_messages = warning;

do $$
declare
    v_day date;
begin
    for v_day in
        select d::date
        from pg_catalog.generate_series(current_date - 1, current_date + 7, interval '1 day') as d
    loop
        execute format(
            'create table if not exists realtime.%I partition of realtime.messages'
            ' for values from (%L) to (%L)',
            to_char(v_day, '"messages_"YYYY_MM_DD'), v_day, v_day + 1
        );
    end loop;
end
$$;
