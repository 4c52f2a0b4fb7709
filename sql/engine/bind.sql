-- What the binding says holds from here on. A column of session_requests may have come or gone
-- since the last time, so that what reads it is made anew; the feature's columns are read where
-- they are.
revoke all on dispatch.mechanics, dispatch.plans, dispatch.favorites
from public, anon, authenticated, service_role;
comment on view dispatch.mechanics is
'Binding: the mechanics, wherever the marketplace keeps them. id is what preferred_mechanic_id and '
'favourites point to, user_id the user who signs in.';
comment on view dispatch.plans is
'Binding: what is sold. session_type is null where a plan does not say which it books.';
comment on view dispatch.favorites is
'Binding: the customers'' favourites; customer_id is a user, mechanic_id one '
'of dispatch.mechanics.';

do $$
declare
    v_function text;
begin
    foreach v_function in array
        array[
            'governs_all', 'assigns_user_id', 'approval_columns', 'feed_is_private', 'taken_off',
            'open_to'
        ]
    loop
        execute pg_catalog.format(
            'revoke all on function dispatch.%I() from public, anon, authenticated, service_role',
            v_function
        );
    end loop;
    comment on function dispatch.governs_all() is
    'Binding: true on a marketplace of ours. False: the engine acts only on requests for which a '
    'priority window was opened.';
    comment on function dispatch.assigns_user_id() is
    'Binding: whether session_requests.mechanic_id is the user''s id, or dispatch.mechanics.id.';
    comment on function dispatch.approval_columns() is
    'Binding: the columns of public.mechanics that say whether one is approved.';
    comment on function dispatch.feed_is_private() is
    'Binding: how clients join the Realtime topic session_requests_feed.';
    comment on function dispatch.taken_off() is
    'Binding: the condition on which a row r of session_requests was taken off, whatever its status '
    'says: a pending or accepted one is then cancelled.';
    comment on function dispatch.open_to() is
    'Binding: the condition on which an approved mechanic, who is auth.uid(), may take a row of '
    'session_requests that is pending and not reserved; as the marketplace''s policies have it.';

    perform dispatch.bind_requests(
        exists (
            select from pg_catalog.pg_attribute
            where
                attrelid = 'public.session_requests'::regclass
                and attname = 'priority_notified_at' and not attisdropped
        )
        and to_regprocedure('dispatch.set_favorites_priority(boolean)') is not null
    );
end;
$$;
