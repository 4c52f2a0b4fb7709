-- Whoever is suspended, or goes, loses the windows that are open.
do $$
begin
    execute format(
        'create or replace trigger mechanics_release_windows '
        'after update of %s or delete on public.mechanics '
        'for each row execute function dispatch.release_windows()',
        (
            select string_agg(quote_ident(c.name), ', ')
            from unnest(dispatch.approval_columns()) as c (name)
        )
    );
end;
$$;
