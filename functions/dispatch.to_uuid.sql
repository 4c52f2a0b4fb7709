create or replace function dispatch.to_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
    return case
        when p_text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_text::uuid
    end;
end;
$$;

comment on function dispatch.to_uuid(text) is 'The text as a uuid; null when it is none.';
revoke all on function dispatch.to_uuid(text) from public, anon, authenticated, service_role;
