-- A word is one of dispatch.mechanic_words, made as it makes them.
create or replace function dispatch.ways_to_match(p_request dispatch.requests)
returns table (available boolean, word text, score integer, reasons text[])
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_city text := 'CITY ' || lower(p_request.customer_city);
    v_country text := 'COUNTRY ' || lower(p_request.customer_country);
    v_worth record := dispatch.match_points(p_request.requested_brand);
    v_points integer[] := v_worth.points;
    v_reasons text[] := v_worth.reasons;
begin
    return query
    select
        a.available,
        a.word || p.word || b.word,
        a.points + p.points + b.points,
        a.reasons || b.reasons || p.reasons
    from (
        values (true, 'ONLINE ', v_points[1], v_reasons[1:1]), (false, '', 0, '{}')
    ) as a (available, word, points, reasons)
    cross join (
        values
        (' BRAND ' || lower(p_request.requested_brand), v_points[2], v_reasons[2:2]),
        ('', 0, '{}')
    ) as b (word, points, reasons)
    cross join (
        values
        (v_city || ' ' || v_country, v_points[3] + v_points[4], v_reasons[3:4]),
        -- A city counts unless the countries are known to differ.
        (
            v_city || case when v_country is null then '' else ' ANYWHERE' end,
            v_points[3],
            v_reasons[3:3]
        ),
        (v_country, v_points[4], v_reasons[4:4]),
        ('', 0, '{}')
    ) as p (word, points, reasons)
    where b.word is not null and p.word is not null
    order by 3 desc;
end;
$$;

comment on function dispatch.ways_to_match(dispatch.requests) is
'Every way in which a mechanic can match a request, best first: whether available, the word to '
'find such mechanics by in the index (they may match better still), score and reasons.';
revoke all on function dispatch.ways_to_match(dispatch.requests)
from public, anon, authenticated, service_role;
