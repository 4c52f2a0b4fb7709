-- Apart from what writes the statement, whose own names are looked up in pg_catalog alone.
create or replace function dispatch.make_anew(p_statement text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, public, extensions, pg_temp
as $$
begin
    execute p_statement;
end;
$$;

comment on function dispatch.make_anew(text) is
'Runs a statement of the engine''s that makes a function or view of its own anew. An event trigger '
'of the marketplace''s looks its names up as for a statement of theirs.';
revoke all on function dispatch.make_anew(text)
from public, anon, authenticated, service_role;
