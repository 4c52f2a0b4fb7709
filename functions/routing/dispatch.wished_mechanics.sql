create or replace function dispatch.wished_mechanics(p_wish jsonb)
returns uuid[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select w.mechanic_id
        from unnest(
            string_to_array(
                coalesce(
                    p_wish ->> 'preferred_mechanic_ids', p_wish ->> 'preferred_mechanic_id', ''
                ),
                ','
            )
        ) with ordinality as i (id, number)
        cross join lateral (select dispatch.to_uuid(btrim(i.id)) as mechanic_id) as w
        group by w.mechanic_id
        order by min(i.number)
    );
end;
$$;

comment on function dispatch.wished_mechanics(jsonb) is
'The favourites that Stripe''s metadata asks for, each once, in their order; null for what is no '
'id.';
revoke all on function dispatch.wished_mechanics(jsonb)
from public, anon, authenticated, service_role;
