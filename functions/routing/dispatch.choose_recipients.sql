create or replace function dispatch.choose_recipients(
    p_request_id uuid,
    p_limit integer default null,
    p_now timestamptz default now()
)
returns table (mechanic_id uuid, score integer, reasons text[])
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The index is right for every word; planning each look-up anew would cost more than it does.
set plan_cache_mode = 'force_generic_plan'
as $$
#variable_conflict use_variable
declare
    v_nobody constant uuid := '00000000-0000-0000-0000-000000000000'::uuid;
    v_request dispatch.requests;
    v_only uuid;
    v_besides uuid[];
    v_silent_since timestamptz;
    v_tier record;
    v_zeros integer;
    v_times float8;
    v_last_score integer;
    v_ids uuid[];
    v_found uuid[] := '{}'::uuid[];
    v_scores integer[] := '{}'::integer[];
    v_reasons text[] := '{}'::text[];
begin
    select * into v_request from dispatch.requests as r where r.id = p_request_id;

    -- What is closed to somebody who has nothing to do with it is open to the preferred mechanic
    -- at most; but where the marketplace has a rule of its own nobody says nothing of the others.
    if
        dispatch.open_to() = 'true'
        and dispatch.refusal(v_request, v_nobody, v_nobody, p_now) is not null
    then
        v_only := (dispatch.priority_window(v_request, p_now)).mechanic_id;
        return query
        select m.id, s.score, s.reasons
        from dispatch.mechanics as m
        cross join
            dispatch.score_match(
                m, v_request.requested_brand, v_request.customer_city, v_request.customer_country, p_now
            ) as s
        where
            m.id = v_only and m.is_approved
            and dispatch.refusal(v_request, m.id, m.user_id, p_now) is null
        limit p_limit;
        return;
    end if;

    -- Without the index (a marketplace that was there first has none of ours) it is looked for in
    -- all of them, too.
    if p_limit is null or to_regclass('public.mechanics_matches_idx') is null then
        return query
        select m.id, s.score, s.reasons
        from dispatch.mechanics as m
        cross join
            dispatch.score_match(
                m, v_request.requested_brand, v_request.customer_city, v_request.customer_country, p_now
            ) as s
        where
            m.is_approved and m.user_id is not null
            and dispatch.refusal(v_request, m.id, m.user_id, p_now) is null
        order by s.score desc, m.id
        limit p_limit;
        return;
    end if;

    -- A look-up also finds those who match better. They stand in an earlier tier, which was read
    -- to its end: else there were enough. So what is new in a tier matches just so.
    v_besides := array(
        select x.user_id from dispatch.exclusions as x where x.request_id = p_request_id
    ) || v_request.customer_id || dispatch.blocked_users(v_request.customer_id);
    if dispatch.max_open_sessions() is not null then
        v_besides := v_besides || array(
            select r.mechanic_id from public.session_requests as r
            where r.status = 'accepted' and r.mechanic_id is not null
            group by r.mechanic_id
            having count(*) >= dispatch.max_open_sessions()
        );
    end if;
    v_silent_since := dispatch.silent_since(p_now);
    for v_tier in select * from dispatch.ways_to_match(v_request) loop
        -- Tiers of the same score are read all: their mechanics mix, in the order of ids.
        exit when cardinality(v_found) >= p_limit and v_tier.score < v_last_score;
        v_last_score := v_tier.score;
        -- The shortest list first (dispatch.mechanic_words): that of a thousandth of all ids.
        v_zeros := 10;
        loop
            -- offset 0: found by words, then sorted; walking the ids in order could take for ever.
            v_ids := array(
                select f.id
                from (
                    select m.id from dispatch.mechanics as m
                    where
                        m.is_approved
                        and dispatch.mechanic_words(
                            m.id, m.is_online, m.brands, m.city, m.country
                        ) @> array[hashtextextended(v_tier.word, v_zeros)]
                        and (not v_tier.available or m.last_seen_at > v_silent_since)
                        and m.user_id <> all(v_besides)
                    offset 0
                ) as f
                order by f.id
                limit p_limit
            );
            exit when cardinality(v_ids) = p_limit or v_zeros = 0;
            -- On to a list in which there should be a dozen more than enough. (1 and 3 have none.)
            v_times := (p_limit + 12::float8) / (cardinality(v_ids) + 1);
            v_zeros := greatest(0, v_zeros - ceil(ln(v_times) / ln(2::float8))::integer);
            v_zeros := case v_zeros when 1 then 0 when 3 then 2 else v_zeros end;
        end loop;
        v_besides := v_besides || v_ids;
        v_found := v_found || v_ids;
        v_scores := v_scores || array_fill(v_tier.score, array[cardinality(v_ids)]);
        v_reasons := v_reasons || array_fill(v_tier.reasons::text, array[cardinality(v_ids)]);
    end loop;

    return query
    select f.id, f.score, f.reasons::text[]
    from unnest(v_found, v_scores, v_reasons) as f (id, score, reasons)
    order by f.score desc, f.id
    limit p_limit;
end;
$$;

comment on function dispatch.choose_recipients(uuid, integer, timestamptz) is
'The mechanics who may take a request at p_now, best first: the preferred one alone in the '
'window, else every approved one who is not out (dispatch.exclusions), not blocked and not the '
'customer.';
revoke all on function dispatch.choose_recipients(uuid, integer, timestamptz)
from public, anon, authenticated, service_role;
