-- What the index mechanics_words_idx keeps of a mechanic, and where the words are made. A word
-- joins all that a way to match asks for, so that a look-up reads one list and meets no other; of
-- those available there is a second list. A value is lower case there and the rest is not, so that
-- none is taken for another; of what is null there is no word. Only the hash of a word is kept: it
-- is short, however long the brand, and two alike are not to be expected of 64 bits.
-- The numbers say where in the order of ids a mechanic is: in which of 4096 parts, and below 0 in
-- which of 64.
create or replace function dispatch.mechanic_words(
    p_id uuid,
    p_is_online boolean,
    p_brands text[],
    p_city text,
    p_country text
)
returns bigint[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_start constant integer := ('x' || left(p_id::text, 3))::bit(12)::integer;
    v_city constant text := 'CITY ' || lower(p_city);
    v_country constant text := 'COUNTRY ' || lower(p_country);
begin
    return array_remove(
        array(
            select hashtextextended(a.word || p.word || b.word, d.depth)
            from (select '' as word union all select 'ONLINE ' where p_is_online) as a
            cross join
                unnest(
                    array['', v_country, v_city, v_city || coalesce(' ' || v_country, ' ANYWHERE')]
                ) as p (word)
            cross join (
                select '' as word union all
                select ' BRAND ' || lower(u.brand) from unnest(p_brands) as u (brand)
            ) as b
            cross join generate_series(0, 6) as d (depth)
            where v_start >> (12 - 2 * d.depth) = 0
        ),
        null
    );
end;
$$;

comment on function dispatch.mechanic_words(uuid, boolean, text[], text, text) is
'The words, as hashes, by which dispatch.choose_recipients finds a mechanic in an index.';
revoke all on function dispatch.mechanic_words(uuid, boolean, text[], text, text)
from public, anon, authenticated, service_role;
-- Whoever writes to the marketplace's table keeps its index, and must be able to run this for it.
-- By name only those can call it who may use the schema; it tells nobody anything.
grant execute on function dispatch.mechanic_words(uuid, boolean, text[], text, text) to public;
