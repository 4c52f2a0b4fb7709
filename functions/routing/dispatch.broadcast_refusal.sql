-- The part of the one rule (dispatch.refusal) that holds when no window is open.
create or replace function dispatch.broadcast_refusal(
    p_customer_id uuid,
    p_status text,
    p_expires_at timestamptz,
    p_user_id uuid,
    p_is_out boolean,
    p_now timestamptz
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when p_customer_id = p_user_id then 'request_not_found'
        when p_status = 'cancelled' then 'request_cancelled'
        when p_status = 'expired' then 'request_expired'
        when p_status in ('accepted', 'completed') then 'request_taken'
        when p_status <> 'pending' then 'request_not_pending'  -- a word of the marketplace's own
        when p_expires_at <= p_now then 'request_expired'
        when p_is_out then 'request_not_found'
    end;
end;
$$;

comment on function dispatch.broadcast_refusal(
    uuid, text, timestamptz, uuid, boolean, timestamptz
) is
'Why an approved mechanic, who is this user, may not accept a request at p_now that has no '
'window, or had one: the error''s detail; null: may.';
revoke all on function dispatch.broadcast_refusal(
    uuid, text, timestamptz, uuid, boolean, timestamptz
) from public, anon, authenticated, service_role;
