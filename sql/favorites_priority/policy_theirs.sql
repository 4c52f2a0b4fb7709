-- The one policy of the feature's own, on a marketplace that was there first: whatever theirs show,
-- a request inside its window is shown to its customer and its favourite alone, and one that was
-- given back not to who gave it back. Every other row passes.
-- While the flag is off nothing is left of it in a plan, the flag being folded into that.
-- (PostgreSQL lets no index serve what theirs ask by auth.uid() while another policy is to be asked
-- first.)
-- Where their table's security is forced, it binds the owner too, as whom the engine reads it: to
-- answer what the policy asks it would ask the policy, without an end.
drop policy if exists dispatch_reserved on public.session_requests;
do $$
begin
    execute pg_catalog.format(
        $p$
        create policy dispatch_reserved on public.session_requests as restrictive for all to public
        using (
            not dispatch.favorites_priority_enabled()
            or priority_notified_at is null
            or status <> 'pending'
            or current_user = %L
            or not dispatch.is_reserved_for_another(id)
        )
        with check (true)
        $p$,
        current_user
    );
end;
$$;
comment on policy dispatch_reserved on public.session_requests is
'Requests inside their priority window are hidden from all but their customer and their '
'favourite, and those given back from who gave them back; every other row passes.';

-- Whoever may read their table runs its policies. By name only those can call them who may use the
-- schema; they say nothing but what the table hides, and whether it hides anything.
grant execute on function
dispatch.is_reserved_for_another(uuid), dispatch.favorites_priority_enabled()
to public;
