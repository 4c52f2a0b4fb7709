create or replace function dispatch.score_match(
    p_mechanic dispatch.mechanics,
    p_requested_brand text,
    p_customer_city text,
    p_customer_country text,
    p_now timestamptz,
    out score integer,
    out reasons text[]
)
returns record
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_same_country boolean;
    v_matches boolean[];
    v_worth record := dispatch.match_points(p_requested_brand);
begin
    -- Nothing else limits a profile on a marketplace that was there first. Of one that is larger than
    -- those of ours no long text counts, which is seen without reading it.
    if pg_column_size(p_mechanic) > 25000 then
        p_mechanic.brands := array(
            select u.brand from (select unnest(p_mechanic.brands) as brand limit 50) as u
            where octet_length(u.brand) <= 400
        );
        p_mechanic.city := case
            when octet_length(p_mechanic.city) <= 400 then p_mechanic.city
        end;
        p_mechanic.country := case
            when octet_length(p_mechanic.country) <= 400 then p_mechanic.country
        end;
    end if;
    v_same_country := lower(p_customer_country) = lower(p_mechanic.country);
    v_matches := array[
        dispatch.is_online(p_mechanic, p_now),
        -- As many as dispatch.mechanic_words has.
        lower(p_requested_brand) = any(lower(p_mechanic.brands[:50]::text)::text[]),
        -- London is not London when the countries are known to differ.
        lower(p_customer_city) = lower(p_mechanic.city) and v_same_country is not false,
        v_same_country
    ];
    score := 0;
    reasons := '{}';
    for i in 1..4 loop
        if v_matches[i] then
            score := score + v_worth.points[i];
            reasons := reasons || v_worth.reasons[i];
        end if;
    end loop;
end;
$$;

comment on function dispatch.score_match(dispatch.mechanics, text, text, text, timestamptz) is
'How well a mechanic fits a request for this brand, city and country at p_now: points and '
'reasons, by dispatch.match_points.';
revoke all on function dispatch.score_match(dispatch.mechanics, text, text, text, timestamptz)
from public, anon, authenticated, service_role;
