create or replace function dispatch.is_reserved_for_another(p_request_id uuid)
returns boolean
language plpgsql
stable
-- definer: policies run as the client, who can read neither the windows nor the flag
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_user_id uuid := dispatch.caller_id();
    v_request dispatch.requests;
    v_window record;
begin
    -- No error here: a policy that raises would cost Realtime its whole batch of changes.
    select * into v_request from dispatch.requests as r where r.id = p_request_id;
    v_window := dispatch.priority_window(v_request);
    return coalesce(
        v_request.is_pending
        -- (One who is not signed in is no customer who is not.)
        and (v_user_id = v_request.customer_id) is not true
        and (
            (
                v_request.announced_at is null
                and v_window.ends_at > now() and v_user_id is distinct from v_window.user_id
            )
            -- Everyone's, but for who gave it back or did not come.
            or (
                v_request.announced_at is not null
                and exists (
                    select from dispatch.exclusions as x
                    where
                        x.request_id = p_request_id and x.user_id = v_user_id
                        and x.event = 'request_released'
                )
                and dispatch.favorites_priority_enabled()
            )
            -- Whoever has their hands full is not asked.
            or (
                dispatch.max_open_sessions() is not null
                and dispatch.is_at_capacity(dispatch.approved_mechanic_of(v_user_id), v_user_id)
            )
        )
        or (
            v_request.is_pending and dispatch.favorites_priority_enabled()
            and dispatch.is_blocked(v_user_id, v_request.customer_id)
        ),
        false
    );
end;
$$;

comment on function dispatch.is_reserved_for_another(uuid) is
'For the restrictive policy on a marketplace that was there first: whether this request''s '
'window is open, and the caller is neither its customer nor its preferred mechanic; or they gave '
'it back, or did not come; or they are at capacity; or one of the caller and its customer has '
'blocked the other.';
do $$
begin
    -- Where the feature is, whoever may read their table runs its policy, while this is installed too.
    if not exists (
        select from pg_catalog.pg_policy
        where
            polrelid = to_regclass('public.session_requests')
            and polname = 'dispatch_reserved'
    ) then
        revoke all on function dispatch.is_reserved_for_another(uuid)
        from public, anon, authenticated, service_role;
    end if;
end;
$$;
