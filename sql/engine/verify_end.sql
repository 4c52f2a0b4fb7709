select
    case when (c.found ->> 'ok')::boolean then 'ok' else 'FAILED' end as result,
    c.found ->> 'check_name' as check_name,
    c.found ->> 'detail' as detail
from
    jsonb_array_elements(current_setting('favorites_priority.checks')::jsonb)
    with ordinality as c (found, number)
order by c.number;

do $$
declare
    v_failed text;
begin
    select string_agg(c.found ->> 'check_name', ', ' order by c.number) into v_failed
    from jsonb_array_elements(current_setting('favorites_priority.checks')::jsonb)
        with ordinality as c (found, number)
    where not (c.found ->> 'ok')::boolean;
    if v_failed is not null then
        raise exception using
            message = 'verify failed: ' || v_failed,
            hint = 'The table above says what is wrong with each and what to do.';
    end if;
end;
$$;

select
    format(
        '%s checks, all ok.',
        jsonb_array_length(current_setting('favorites_priority.checks')::jsonb)
    ) as word
\gset
rollback;
\ir quiet_end.sql
