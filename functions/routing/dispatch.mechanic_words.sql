-- The words of a mechanic: what a way to match asks for, all of it in one word, so that a look-up
-- reads one list of the index and meets it with no other. Of those available there is a list more.
-- A value is lower case in a word and the rest is not, so that none is taken for another; of what
-- is null there is none. Only a word's hash is kept: it is short, however long the brand, and two
-- alike are not to be expected of 64 bits.
-- A list is in no order of ids, so that all of it must be read to know the lowest. So there are
-- shorter ones too, of those whose ids begin with so many bits 0: that number seeds the hash.
-- What one profile may cost is limited: each brand is up to 72 words, made anew whenever its
-- mechanic comes or goes. So 50 brands count, and no text of more than 100 characters.
-- The index is only as right as this is unchanged: other words need another index.
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
    v_city constant text := case when length(p_city) <= 100 then 'CITY ' || lower(p_city) end;
    v_country constant text := case
        when length(p_country) <= 100 then 'COUNTRY ' || lower(p_country)
    end;
begin
    return array_remove(
        array(
            select hashtextextended(a.word || p.word || b.word, z.zeros)
            from (select '' as word union all select 'ONLINE ' where p_is_online) as a
            cross join
                unnest(
                    array['', v_country, v_city, v_city || coalesce(' ' || v_country, ' ANYWHERE')]
                ) as p (word)
            cross join (
                select '' as word union all
                select ' BRAND ' || lower(u.brand)
                from (select unnest(p_brands) as brand limit 50) as u
                where length(u.brand) <= 100
            ) as b
            -- Each list half as long as the one before; the first two a quarter, as every other
            -- mechanic would be in one more.
            cross join unnest(array[0, 2, 4, 5, 6, 7, 8, 9, 10]) as z (zeros)
            where v_start >> (12 - z.zeros) = 0
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
