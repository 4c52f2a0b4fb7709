-- Stable, though set_config is not: dispatch.is_open_to, for which it is, goes back.
create or replace function dispatch.claim_to_be(p_user_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
-- @plpgsql_check_options: other_warnings = false
declare
    -- Which columns there are is the platform's to say.
    v_user jsonb;
begin
    select to_jsonb(u) into v_user from auth.users as u where u.id = p_user_id;
    perform set_config('request.jwt.' || c.name, c.value, true)
    from (
        values
        (
            'claims',
            jsonb_strip_nulls(
                jsonb_build_object(
                    'sub', p_user_id,
                    'role', 'authenticated',
                    'aud', 'authenticated',
                    'email', v_user -> 'email',
                    'phone', v_user -> 'phone',
                    'app_metadata', v_user -> 'raw_app_meta_data',
                    'user_metadata', v_user -> 'raw_user_meta_data',
                    'is_anonymous', coalesce(v_user -> 'is_anonymous', 'false'),
                    -- Whether they will have signed in with a second factor nobody knows.
                    'aal', 'aal2'
                )
            )::text
        ),
        -- As older ones have it.
        ('claim', null),
        ('claim.sub', p_user_id::text),
        ('claim.role', 'authenticated'),
        ('claim.email', v_user ->> 'email')
    ) as c (name, value);
end;
$$;

comment on function dispatch.claim_to_be(uuid) is
'Makes auth.uid(), auth.jwt() and the like answer as for a token of this user, as far as the '
'account says what is in it, for the rest of the transaction.';
revoke all on function dispatch.claim_to_be(uuid)
from public, anon, authenticated, service_role;
