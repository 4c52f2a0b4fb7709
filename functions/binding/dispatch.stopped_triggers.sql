create or replace function dispatch.stopped_triggers()
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_has_feature constant boolean := to_regprocedure(
        'dispatch.set_favorites_priority(boolean)'
    ) is not null;
begin
    return (
        select string_agg(w.name, ', ' order by w.name)
        from (
            select
                'public.session_requests' as relation,
                unnest(
                    case
                        when dispatch.governs_all()
                            then array[
                                'session_requests_guard', 'session_requests_log_delete',
                                'session_requests_log_insert', 'session_requests_log_update',
                                'session_requests_route'
                            ]
                        when v_has_feature
                            then array[
                                '00_dispatch_guard', '00_dispatch_log_delete',
                                '00_dispatch_log_insert', '00_dispatch_log_update',
                                'zzz_dispatch_guard', 'zzz_dispatch_open_window'
                            ]
                    end
                ) as name
            union all
            select
                'public.mechanics',
                unnest(
                    array[
                        'mechanics_note_last_turns', 'mechanics_note_turns',
                        'mechanics_release_windows'
                    ]
                )
            where v_has_feature
        ) as w
        left join pg_catalog.pg_trigger as t
            on t.tgrelid = to_regclass(w.relation) and t.tgname = w.name
        where coalesce(t.tgenabled, 'D') not in ('O', 'A')
    );
end;
$$;

comment on function dispatch.stopped_triggers() is
'The triggers of ours on public.session_requests and public.mechanics that are missing there or '
'disabled; null: all run.';
revoke all on function dispatch.stopped_triggers() from public, anon, authenticated, service_role;
