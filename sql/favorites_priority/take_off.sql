-- What somebody dropped by hand keeps nothing else here.
drop trigger if exists mechanics_release_windows on public.mechanics;
drop trigger if exists mechanics_note_turns on public.mechanics;
drop trigger if exists mechanics_note_last_turns on public.mechanics;
do $$
begin
    if not dispatch.governs_all() then
        drop trigger if exists "00_dispatch_guard" on public.session_requests;
        drop trigger if exists zzz_dispatch_guard on public.session_requests;
        drop trigger if exists zzz_dispatch_open_window on public.session_requests;
        drop trigger if exists "00_dispatch_log_insert" on public.session_requests;
        drop trigger if exists "00_dispatch_log_update" on public.session_requests;
        drop trigger if exists "00_dispatch_log_delete" on public.session_requests;
        drop policy if exists dispatch_reserved on public.session_requests;
        revoke all on function dispatch.is_reserved_for_another(uuid)
        from public, anon, authenticated, service_role;
        -- The engine governs none of theirs any more.
        delete from dispatch.windows;
    end if;
    delete from dispatch.steps;
    delete from dispatch.unanswered;
    drop function dispatch.set_favorites_priority(boolean);
    perform dispatch.bind_requests(false);
end;
$$;
\ir ../../functions/binding/dispatch.favorites_priority_enabled.sql
