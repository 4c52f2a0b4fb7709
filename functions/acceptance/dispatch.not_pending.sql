create or replace function dispatch.not_pending(
    p_request dispatch.requests,
    p_now timestamptz default now()
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when p_request.status = 'cancelled' then 'request_cancelled'
        when p_request.status = 'expired' then 'request_expired'
        when not p_request.is_pending then 'request_not_pending'
        when p_request.expires_at <= p_now then 'request_expired'
    end;
end;
$$;

comment on function dispatch.not_pending(dispatch.requests, timestamptz) is
'Why a request''s own customer or mechanic cannot change it: the error''s detail; null: it is '
'pending.';
revoke all on function dispatch.not_pending(dispatch.requests, timestamptz)
from public, anon, authenticated, service_role;
