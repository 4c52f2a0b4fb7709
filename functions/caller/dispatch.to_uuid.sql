create or replace function dispatch.to_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_text::uuid;
exception
    -- Trying is cheaper than matching a pattern first, and knows every form PostgreSQL takes.
    when invalid_text_representation then
        return null;
end;
$$;

comment on function dispatch.to_uuid(text) is 'The text as a uuid; null when it is none.';
revoke all on function dispatch.to_uuid(text) from public, anon, authenticated, service_role;
