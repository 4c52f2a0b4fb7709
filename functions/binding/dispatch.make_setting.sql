-- The function is the setting: replacing it reaches every client's next statement. Immutable, so
-- that it is folded into the plans of those that ask it, and none need call it: replaced, they are
-- made anew in every session.
create or replace function dispatch.make_setting(p_setting regprocedure, p_value text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    perform dispatch.make_anew(
        format(
            'create or replace function %s returns %s '
            'language plpgsql immutable security invoker '
            'set search_path = pg_catalog, pg_temp as %L',
            p_setting,
            pg_get_function_result(p_setting),
            format(E'\nbegin\n    return %s;\nend;\n', p_value)
        )
    );
end;
$$;

comment on function dispatch.make_setting(regprocedure, text) is
'From now on this function without arguments, a setting of the engine''s, returns p_value, a '
'constant as SQL. Its setter has looked it over.';
revoke all on function dispatch.make_setting(regprocedure, text)
from public, anon, authenticated, service_role;
