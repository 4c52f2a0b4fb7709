create or replace function public.finish_pushes(answers jsonb)
returns integer
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return dispatch.record_answers(answers);
end;
$$;

comment on function public.finish_pushes(jsonb) is
'What the push service said: an array of {"push_id", "status", "retry_after"}; status is the '
'answer''s HTTP status, or null for none; retry_after in seconds, if it said so. Devices that are '
'gone (404, 410) are removed; 408, 429, 5xx and no answer are tried again. Returns how many were '
'still open. Raises PT422 invalid_answers.';
revoke all on function public.finish_pushes(jsonb)
from public, anon, authenticated, service_role;
grant execute on function public.finish_pushes(jsonb) to service_role;
