-- The words are those that the indexes mechanics_words_idx and mechanics_online_words_idx have of
-- each mechanic. A brand is lower case there and the other words are not, so that none is taken
-- for another.
create or replace function dispatch.match_tiers(p_request public.session_requests)
returns table (available boolean, words text[], score integer, reasons text[])
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_brand text := lower(p_request.requested_brand);
    v_city text := 'CITY ' || lower(p_request.customer_city);
    v_country text := 'COUNTRY ' || lower(p_request.customer_country);
begin
    return query
    select
        a.available,
        array_remove(array[b.word, p.word], null),
        s.score,
        s.reasons
    from (values (true), (false)) as a (available)
    cross join (
        values
        (true, coalesce(nullif(v_brand, ''), case when v_brand = '' then chr(1) end)),
        (false, null)
    ) as b (brand, word)
    cross join (
        values
        (true, true, v_city || ' ' || v_country),
        -- A city counts unless the countries are known to differ.
        (true, false, v_city || case when v_country is null then '' else ' ANYWHERE' end),
        (false, true, v_country),
        (false, false, null)
    ) as p (city, country, word)
    cross join
        lateral dispatch.match_score(
            a.available, b.brand, p.city, p.country, p_request.requested_brand
        ) as s
    where
        (b.word is not null or not b.brand)
        and (p.word is not null or not (p.city or p.country))
    order by s.score desc;
end;
$$;

comment on function dispatch.match_tiers(public.session_requests) is
'Every way in which a mechanic can match a request, best first: whether available, the words to '
'find such mechanics by in the index (they may match better still), score and reasons.';
revoke all on function dispatch.match_tiers(public.session_requests)
from public, anon, authenticated, service_role;
