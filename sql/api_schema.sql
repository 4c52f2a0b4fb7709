-- The RPCs in another schema than public, for where the Data API shows clients that one alone: the
-- same names, arguments and answers, with the caller's rights, for whoever may call ours. After
-- each upgrade again: what it made before, it makes anew.
--   psql "$DATABASE_URL" -X -v schema=api -f sql/api_schema.sql
\ir engine/quiet_begin.sql
\if :{?schema}
\else
\warn 'Which schema do clients see? -v schema=api'
\quit
\endif
begin;
\ir engine/asking.sql
set local standard_conforming_strings = on;
select set_config('dispatch.api_schema', :'schema', true) as kept
\gset
\ir engine/rpcs.sql
\ir engine/copies.sql
do $$
declare
    v_schema constant text := current_setting('dispatch.api_schema');
    v_found record;
    v_made text;
begin
    if to_regnamespace(quote_ident(v_schema)) is null or v_schema = 'public' then
        raise invalid_schema_name using
            message = format('%L is no schema that the RPCs could be shown in', v_schema),
            hint = 'Name one that is there, other than public, as the Data API''s settings have it.';
    elsif to_regprocedure('dispatch.governs_all()') is null then
        raise object_not_in_prerequisite_state using
            message = 'the engine is not installed',
            hint = 'Run sql/engine/up.sql first.';
    end if;

    for v_found in
        select p.oid::regprocedure as signature from pg_proc as p
        where
            p.pronamespace = quote_ident(v_schema)::regnamespace
            and p.prosrc ~ '-- sql/api_schema\.sql$'
    loop
        execute format('drop function %s', v_found.signature);
    end loop;

    for v_found in
        select
            p.proname as name,
            p.provolatile = 'v' as is_volatile,
            pg_get_function_arguments(p.oid) as parameters,
            pg_get_function_identity_arguments(p.oid) as identity,
            pg_get_function_result(p.oid) as result,
            obj_description(p.oid) as comment,
            (
                select string_agg(format('%1$I => %1$I', a.name), ', ' order by a.nr)
                from unnest(p.proargnames[1:p.pronargs]) with ordinality as a (name, nr)
            ) as arguments,
            (
                select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles as r
                where
                    r.rolname in ('anon', 'authenticated', 'service_role')
                    and has_function_privilege(r.oid, p.oid, 'execute')
            ) as callers
        from pg_proc as p
        where
            p.pronamespace = 'public'::regnamespace and p.prosrc ~ '\mdispatch\.'
            and p.proname = any(current_setting('dispatch.rpcs')::text[])
    loop
        execute format(
            'create function %1$I.%2$I(%3$s) returns %4$s language sql %5$s security invoker '
            'set search_path = '''' as $_$ select * from public.%2$I(%6$s) -- sql/api_schema.sql$_$',
            v_schema, v_found.name, v_found.parameters, v_found.result,
            case when v_found.is_volatile then 'volatile' else 'stable' end, v_found.arguments
        );
        v_made := format('%I.%I(%s)', v_schema, v_found.name, v_found.identity);
        execute format('comment on function %s is %L', v_made, v_found.comment);
        execute format(
            'revoke all on function %s from public, anon, authenticated, service_role', v_made
        );
        if v_found.callers <> '' then
            execute format('grant execute on function %s to %s', v_made, v_found.callers);
        end if;
    end loop;
end;
$$;
notify pgrst, 'reload schema';
commit;
select format('The RPCs are in the schema %s too.', :'schema') as word
\gset
\ir engine/quiet_end.sql
