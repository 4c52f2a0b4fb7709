-- An engine of an earlier version lists with fewer columns, and none can be added to what a
-- function returns.
do $$
declare
    v_found record;
begin
    for v_found in
        select w.behind, w.rpc
        from (
            values
            ('list_open_requests', 'list_open_session_requests', 'is_returning_customer'),
            ('list_favorites', 'list_favorite_mechanics', 'is_reachable')
        ) as w (behind, rpc, last_column)
        where
            not exists (
                select from pg_catalog.pg_proc as p
                where
                    p.oid = to_regprocedure(pg_catalog.format('dispatch.%I()', w.behind))
                    and w.last_column = any(p.proargnames)
            )
    loop
        execute pg_catalog.format('drop function if exists public.%I()', v_found.rpc);
        execute pg_catalog.format('drop function if exists dispatch.%I()', v_found.behind);
    end loop;
end;
$$;
-- Nor can it return more than it did.
do $$
begin
    if exists (
        select from pg_catalog.pg_proc as p
        where
            p.oid = to_regprocedure('dispatch.book_theirs(uuid, uuid, jsonb, timestamptz)')
            and p.prorettype <> 'record'::regtype
    ) then
        drop function dispatch.book_theirs(uuid, uuid, jsonb, timestamptz);
    end if;
end;
$$;
-- Nor can a parameter get another name.
do $$
begin
    if exists (
        select from pg_catalog.pg_proc as p
        where
            p.pronamespace = to_regnamespace('dispatch') and p.proname = 'broadcast_refusal'
            and 'p_has_declined' = any(p.proargnames)
    ) then
        drop function dispatch.broadcast_refusal(uuid, text, timestamptz, uuid, boolean, timestamptz);
    end if;
end;
$$;
