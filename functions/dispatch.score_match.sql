create or replace function dispatch.score_match(
    p_mechanic public.mechanics,
    p_request public.session_requests,
    p_now timestamptz,
    out score integer,
    out reasons text[]
)
returns record
language sql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
    select
        coalesce(sum(points) filter (where applies), 0)::integer,
        coalesce(array_agg(reason order by points desc) filter (where applies), '{}')
    from (
        values
        (50, 'Available now', dispatch.is_online(p_mechanic, p_now)),
        (
            30,
            'Works on ' || p_request.requested_brand,
            lower(p_request.requested_brand) = any (lower(p_mechanic.brands::text)::text[])
        ),
        (
            20,
            'Same city',
            lower(p_request.customer_city) = lower(p_mechanic.city)
            -- London is not London when the countries are known to differ.
            and coalesce(lower(p_request.customer_country) = lower(p_mechanic.country), true)
        ),
        (10, 'Same country', lower(p_request.customer_country) = lower(p_mechanic.country))
    ) as criteria (points, reason, applies);
$$;

comment on function dispatch.score_match(
    public.mechanics, public.session_requests, timestamptz
) is
'How well a mechanic fits a request at p_now: points (available 50, brand 30, city 20, country '
'10) and the reasons in words.';
revoke all on function dispatch.score_match(
    public.mechanics, public.session_requests, timestamptz
) from public, anon, authenticated, service_role;
