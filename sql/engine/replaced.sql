-- What an engine of an earlier version has under the same names: a call that leaves the new
-- parameters out would mean both. In dispatch, where all is ours, it is what stands beside one that
-- was made just now; in public, what calls dispatch.
do $$
declare
    v_found record;
begin
    for v_found in
        select p.oid::regprocedure as signature
        from pg_catalog.pg_proc as p
        left join (
            values
            ('prepare_checkout', 7),
            ('request_free_session', 6)
        ) as w (name, arguments)
            on
                p.pronamespace = to_regnamespace('public')
                and p.proname = w.name and p.pronargs < w.arguments
        where
            w.name is not null and p.prosrc ~ '\mdispatch\.'
            or p.pronamespace = to_regnamespace('dispatch')
            and p.xmin <> pg_current_xact_id()::xid
            and exists (
                select from pg_catalog.pg_proc as n
                where
                    n.pronamespace = p.pronamespace and n.proname = p.proname
                    and n.xmin = pg_current_xact_id()::xid
            )
    loop
        execute pg_catalog.format('drop function %s', v_found.signature);
    end loop;
end;
$$;
drop function if exists dispatch.end_full_windows(uuid, uuid);
drop function if exists dispatch.lock_steps(uuid);
drop function if exists dispatch.note_turns_of(uuid, uuid);
drop function if exists dispatch.skip_step(dispatch.requests, integer, uuid, text);
drop function if exists dispatch.sees_accounts();
