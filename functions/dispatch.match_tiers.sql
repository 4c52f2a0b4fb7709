-- A word is one of dispatch.mechanic_words, made as it makes them.
create or replace function dispatch.match_tiers(p_request public.session_requests)
returns table (available boolean, word text, score integer, reasons text[])
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_city text := 'CITY ' || lower(p_request.customer_city);
    v_country text := 'COUNTRY ' || lower(p_request.customer_country);
begin
    return query
    select
        a.available,
        a.word || p.word || b.word,
        s.score,
        s.reasons
    from (values (true, 'ONLINE '), (false, '')) as a (available, word)
    cross join (
        values (true, ' BRAND ' || lower(p_request.requested_brand)), (false, '')
    ) as b (brand, word)
    cross join (
        values
        (true, true, v_city || ' ' || v_country),
        -- A city counts unless the countries are known to differ.
        (true, false, v_city || case when v_country is null then '' else ' ANYWHERE' end),
        (false, true, v_country),
        (false, false, '')
    ) as p (city, country, word)
    cross join
        lateral dispatch.match_score(
            a.available, b.brand, p.city, p.country, p_request.requested_brand
        ) as s
    where b.word is not null and p.word is not null
    order by s.score desc;
end;
$$;

comment on function dispatch.match_tiers(public.session_requests) is
'Every way in which a mechanic can match a request, best first: whether available, the word to '
'find such mechanics by in the index (they may match better still), score and reasons.';
revoke all on function dispatch.match_tiers(public.session_requests)
from public, anon, authenticated, service_role;
