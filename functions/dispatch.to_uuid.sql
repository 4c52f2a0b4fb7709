create or replace function dispatch.to_uuid(p_text text)
returns uuid
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
    -- No regular expression: matching one costs as much as writing a row.
    return case
        when
            p_text like '________-____-____-____-____________'
            and translate(p_text, '0123456789abcdefABCDEF', '') = '----'
            then p_text::uuid
    end;
end;
$$;

comment on function dispatch.to_uuid(text) is 'The text as a uuid; null when it is none.';
revoke all on function dispatch.to_uuid(text) from public, anon, authenticated, service_role;
