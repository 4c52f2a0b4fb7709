-- Whoever is not approved any more loses the windows that are open. (Of one who goes, the foreign
-- key takes the id out of the requests, and the guard there sees it.)
do $$
begin
    execute format(
        'create or replace trigger mechanics_release_windows '
        'after update on public.mechanics for each row when (%s) '
        'execute function dispatch.release_windows()',
        (
            select
                coalesce(
                    string_agg(format('old.%1$I is distinct from new.%1$I', c.name), ' or '), 'false'
                )
            from unnest(dispatch.approval_columns()) as c (name)
        )
    );
end;
$$;
