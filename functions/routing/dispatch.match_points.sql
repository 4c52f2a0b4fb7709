-- The points and their words stand here alone: dispatch.score_match adds those of one mechanic, and
-- dispatch.ways_to_match those of every way to match.
create or replace function dispatch.match_points(
    p_requested_brand text,
    out points integer[],
    out reasons text[]
)
returns record
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    points := array[50, 30, 20, 10];
    reasons := array[
        'Available now', 'Works on ' || p_requested_brand, 'Same city', 'Same country'
    ];
end;
$$;

comment on function dispatch.match_points(text) is
'What it is worth that a mechanic is available, works on this brand, is in the same city and in '
'the same country: the points and the reason of each.';
revoke all on function dispatch.match_points(text)
from public, anon, authenticated, service_role;
