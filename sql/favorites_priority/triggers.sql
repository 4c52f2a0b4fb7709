-- Whoever is not approved any more loses the windows that are open, and whoever has no account any
-- more: on a marketplace that was there first the row may stay, with null for the user's id. (Of
-- one whose row goes, the foreign key takes the id out of the requests; the guard there sees it.)
-- Before that it is written down whose turn has come by the clock.
do $$
declare
    v_changes text := (
        select
            coalesce(
                string_agg(
                    pg_catalog.format('old.%1$I is distinct from new.%1$I', c.name),
                    ' or ' order by c.name
                ),
                'false'
            )
        from pg_catalog.unnest(dispatch.watched_columns()) as c (name)
    );
begin
    execute pg_catalog.format(
        'create or replace trigger mechanics_note_turns '
        'before update on public.mechanics for each row when (%s) '
        'execute function dispatch.note_turns()',
        v_changes
    );
    execute pg_catalog.format(
        'create or replace trigger mechanics_release_windows '
        'after update on public.mechanics for each row when (%s) '
        'execute function dispatch.release_windows()',
        v_changes
    );
    create or replace trigger mechanics_note_last_turns
    before delete on public.mechanics for each row execute function dispatch.note_turns();
end;
$$;
