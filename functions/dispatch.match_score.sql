-- The points and their words stand here alone: dispatch.score_match asks it of one mechanic, and
-- dispatch.match_tiers of every way to match.
create or replace function dispatch.match_score(
    p_available boolean,
    p_brand boolean,
    p_city boolean,
    p_country boolean,
    p_requested_brand text,
    out score integer,
    out reasons text[]
)
returns record
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    score := case when p_available then 50 else 0 end + case when p_brand then 30 else 0 end
    + case when p_city then 20 else 0 end + case when p_country then 10 else 0 end;
    reasons := array_remove(
        array[
            case when p_available then 'Available now' end,
            case when p_brand then 'Works on ' || p_requested_brand end,
            case when p_city then 'Same city' end,
            case when p_country then 'Same country' end
        ],
        null
    );
end;
$$;

comment on function dispatch.match_score(boolean, boolean, boolean, boolean, text) is
'The points for what a mechanic and a request have in common (available 50, brand 30, city 20, '
'country 10) and the reasons in words, best first.';
revoke all on function dispatch.match_score(boolean, boolean, boolean, boolean, text)
from public, anon, authenticated, service_role;
