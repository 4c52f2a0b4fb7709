create or replace function dispatch.tidy_notes(p_notes text)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Blank is nothing said. btrim alone takes spaces only.
    v_notes constant text := nullif(
        regexp_replace(p_notes, '^[[:space:]]+|[[:space:]]+$', '', 'g'), ''
    );
begin
    -- What one value of Stripe's metadata holds.
    if length(v_notes) > 500 then
        perform dispatch.raise_error('invalid_notes');
    end if;
    return v_notes;
end;
$$;

comment on function dispatch.tidy_notes(text) is
'A customer''s notes without the blanks around them; null: there are none. Raises PT422 '
'invalid_notes.';
revoke all on function dispatch.tidy_notes(text) from public, anon, authenticated, service_role;
