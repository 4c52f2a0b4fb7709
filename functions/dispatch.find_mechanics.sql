-- Reads little more than p_limit rows, however many mechanics there are. An index by words gives
-- rows in no order, so that all that it finds must be read to know the lowest ids: it is asked for
-- the ids that begin with 000 first, then 00, then 0. The expression is that of the indexes.
create or replace function dispatch.find_mechanics(
    p_available boolean,
    p_words text[],
    p_besides uuid[],
    p_limit integer,
    p_now timestamptz
)
returns uuid[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
-- The indexes are right for every word; planning each look-up anew would cost more than it does.
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off
as $$
declare
    v_silent_since constant timestamptz := dispatch.silent_since(p_now);
    v_prefix text;
    v_words text[];
    v_found uuid[];
begin
    if p_words = '{}' and p_available then
        return array(
            select m.id from public.mechanics as m
            where
                m.status = 'approved' and m.is_online and m.updated_at > v_silent_since
                and m.id <> all(p_besides)
            order by m.id
            limit p_limit
        );
    elsif p_words = '{}' then
        return array(
            select m.id from public.mechanics as m
            where m.status = 'approved' and m.id <> all(p_besides)
            order by m.id
            limit p_limit
        );
    end if;

    foreach v_prefix in array array['ID 000', 'ID 00', 'ID 0', null] loop
        continue when v_prefix = 'ID 00' and cardinality(v_found) * 16 < p_limit;
        v_words := array_remove(p_words || v_prefix, null);
        -- offset 0: found by words, then sorted; walking the ids in order could take for ever.
        if p_available then
            v_found := array(
                select f.id
                from (
                    select m.id from public.mechanics as m
                    where
                        m.status = 'approved' and m.is_online and m.updated_at > v_silent_since
                        and m.id <> all(p_besides)
                        and (
                            tsvector_to_array(lower(array_to_tsvector(array_replace(
                                array_replace(m.brands, '', chr(1)), null, chr(2)
                            ))::text)::tsvector)
                            || array[
                                'COUNTRY ' || lower(m.country),
                                'CITY ' || lower(m.city),
                                'CITY ' || lower(m.city)
                                || coalesce(' COUNTRY ' || lower(m.country), ' ANYWHERE'),
                                'ID ' || left(m.id::text, 1),
                                'ID ' || left(m.id::text, 2),
                                'ID ' || left(m.id::text, 3)
                            ]
                        ) @> v_words
                    offset 0
                ) as f
                order by f.id
                limit p_limit
            );
        else
            v_found := array(
                select f.id
                from (
                    select m.id from public.mechanics as m
                    where
                        m.status = 'approved' and m.id <> all(p_besides)
                        and (
                            tsvector_to_array(lower(array_to_tsvector(array_replace(
                                array_replace(m.brands, '', chr(1)), null, chr(2)
                            ))::text)::tsvector)
                            || array[
                                'COUNTRY ' || lower(m.country),
                                'CITY ' || lower(m.city),
                                'CITY ' || lower(m.city)
                                || coalesce(' COUNTRY ' || lower(m.country), ' ANYWHERE'),
                                'ID ' || left(m.id::text, 1),
                                'ID ' || left(m.id::text, 2),
                                'ID ' || left(m.id::text, 3)
                            ]
                        ) @> v_words
                    offset 0
                ) as f
                order by f.id
                limit p_limit
            );
        end if;
        exit when cardinality(v_found) = p_limit;
    end loop;
    return v_found;
end;
$$;

comment on function dispatch.find_mechanics(boolean, text[], uuid[], integer, timestamptz) is
'The first p_limit approved mechanics by id who have all these words (dispatch.match_tiers) and '
'are not among p_besides; with p_available only those available at p_now.';
revoke all on function dispatch.find_mechanics(boolean, text[], uuid[], integer, timestamptz)
from public, anon, authenticated, service_role;
