-- All at once, so that nobody mends one thing to be told of the next.
do $$
declare
    v_missing text;
begin
    select string_agg(format('- %s: %s', m.what, m.remedy), E'\n' order by m.what) into v_missing
    from pg_temp.missing as m;
    if v_missing is not null then
        raise object_not_in_prerequisite_state using
            message = E'this database is not ready, and nothing was changed. First:\n' || v_missing;
    end if;
end;
$$;
\ir making.sql
