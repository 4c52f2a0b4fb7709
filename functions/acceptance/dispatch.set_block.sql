-- Changes dispatch.blocks; the requests that were one of these two's, through dispatch.requests.
create or replace function dispatch.set_block(
    p_user_id uuid,
    p_other_id uuid,
    p_is_blocked boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
    v_users constant uuid[] := array[p_user_id, p_other_id];
    v_mechanic_ids uuid[];
    v_claims text := coalesce(current_setting('request.jwt.claims', true), '');
    v_claim text := coalesce(current_setting('request.jwt.claim.sub', true), '');
begin
    if p_other_id is null or p_other_id = p_user_id then
        return;
    end if;
    -- Locked, so that a booking or a sweep that is about to ask one of them is waited for, and a
    -- later one sees the block.
    v_mechanic_ids := array(
        select m.id from dispatch.mechanics as m
        where m.user_id = any(v_users)
        order by m.id
        for no key update
    );
    if p_is_blocked = dispatch.has_blocked(p_user_id, p_other_id) then
        return;
    end if;

    -- What moves on now is logged without an actor: by whom, the other is not to learn.
    perform set_config('request.jwt.claims', '', true);
    perform set_config('request.jwt.claim.sub', '', true);
    perform dispatch.write_turns(v_mechanic_ids, v_users);
    if p_is_blocked then
        insert into dispatch.blocks (user_id, other_id, is_theirs)
        values (p_user_id, p_other_id, true), (p_other_id, p_user_id, false);
        perform dispatch.announce_each(
            array(
                select r.id from dispatch.requests as r
                where
                    r.customer_id = any(v_users)
                    and r.preferred_mechanic_id = any(v_mechanic_ids)
                    and r.is_pending and r.announced_at is null
                    and r.window_began_at is not null
            ),
            now(),
            v_mechanic_ids
        );
    else
        delete from dispatch.blocks as b
        where
            (b.user_id, b.other_id, b.is_theirs)
            in ((p_user_id, p_other_id, true), (p_other_id, p_user_id, false));
    end if;
    perform set_config('request.jwt.claims', v_claims, true);
    perform set_config('request.jwt.claim.sub', v_claim, true);
end;
$$;

comment on function dispatch.set_block(uuid, uuid, boolean) is
'This user blocks that one, or does not any more: neither hears of the other. A window of the one '
'for the other is over at once; what was accepted stays. Again, or of nobody: nothing.';
revoke all on function dispatch.set_block(uuid, uuid, boolean)
from public, anon, authenticated, service_role;
