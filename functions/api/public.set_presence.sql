create or replace function public.set_presence(status text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.set_mechanic_presence(status);
end;
$$;

comment on function public.set_presence(text) is
'A mechanic is online, busy, away or offline; also the heartbeat: call it every 30 to 60 seconds, '
'as 2 minutes of silence count as offline. Only online is available. After two windows in a row '
'that ended unanswered they are away, until they call it again. Returns {"is_online", '
'"last_seen"}. Raises PT401 not_signed_in, PT403 not_a_mechanic, PT409 presence_refused, PT422 '
'invalid_status.';
revoke all on function public.set_presence(text) from public, anon, authenticated, service_role;
grant execute on function public.set_presence(text) to authenticated;
