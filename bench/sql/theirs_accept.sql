update public.session_requests
set
    status = 'accepted', mechanic_id = 'a0000000-0000-4000-8000-000000000001', accepted_at = now()
where
    -- A sub-select, so that it is one id, looked up, and not another for each row.
    id = (select ('00000000-0000-4000-8000-' || lpad(nextval('theirs_turn')::text, 12, '0'))::uuid)
    and status = 'pending' and mechanic_id is null;
