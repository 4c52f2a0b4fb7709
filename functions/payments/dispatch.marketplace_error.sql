create or replace function dispatch.marketplace_error(p_sqlstate text, p_message text)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not what passes by itself: of that the webhook app is told, and Stripe tries again. (What a
    -- server says that a trigger of theirs calls, or a file that is broken, may never pass. Nor may
    -- what took too long, 57014: a lock is given up before, 55P03.)
    if
        left(p_sqlstate, 2) in ('40', '53', '57') and p_sqlstate <> '57014'
        or p_sqlstate in ('55006', '55P03')
    then
        return null;
    end if;
    return 'refused by the marketplace: '
        || left(
            coalesce(p_sqlstate || ' ', '') || coalesce(p_message, 'a trigger kept the row out'), 300
        )
        || '; mend it, then dispatch.replay_stripe_event(id)';
end;
$$;

comment on function dispatch.marketplace_error(text, text) is
'What stays with a Stripe event whose write the marketplace refused with this SQLSTATE and message '
'(nulls: without a word); null: the error is one to be raised as it is.';
revoke all on function dispatch.marketplace_error(text, text)
from public, anon, authenticated, service_role;
