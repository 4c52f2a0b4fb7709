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
    v_same_country boolean := lower(p_customer_country) = lower(p_mechanic.country);
    v_matches boolean[] := array[
        dispatch.is_online(p_mechanic, p_now),
        -- As many as dispatch.mechanic_words has.
        lower(p_requested_brand) = any(lower(p_mechanic.brands[:50]::text)::text[]),
        -- London is not London when the countries are known to differ.
        lower(p_customer_city) = lower(p_mechanic.city) and v_same_country is not false,
        v_same_country
    ];
    v_worth record := dispatch.match_points(p_requested_brand);
begin
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
