-- What sql/api_schema.sql made is made anew, or taken off, by a role that it belongs to.
do $$
declare
    v_found record;
begin
    select
        p.pronamespace::regnamespace as schema_name,
        pg_get_userbyid(p.proowner) as owner
    into v_found
    from pg_catalog.pg_proc as p
    where p.prosrc ~ '-- sql/api_schema\.sql$' and not pg_has_role(p.proowner, 'usage')
    limit 1;
    if found then
        raise insufficient_privilege using
            message = format(
                'the RPCs in the schema %s belong to %I, and nothing was changed',
                v_found.schema_name, v_found.owner
            ),
            hint = format(
                'Drop those functions as %1$I, or grant %1$I to %2$I; then run this again.',
                v_found.owner, current_user
            );
    end if;
end;
$$;
