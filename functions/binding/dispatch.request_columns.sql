-- Null where the marketplace has no such column, or one of the name that holds something else
-- (minutes to live, a list of brands). Nothing here is a matter of judgement; what is stands in the
-- binding that the DBA has looked over.
create or replace function dispatch.request_columns(p_with_windows boolean)
returns table (number integer, name text, of_row text, of_view text)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_is_ours constant boolean := dispatch.governs_all();
    -- As the sweep's index has it. A trigger asks before there is anything to refuse, and a call of
    -- what was written long ago: no column makes it raise.
    v_window_end constant text := 'case when (r.priority_notified_at at time zone ''UTC'') '
    'between ''2000-01-01'' and ''9999-12-31'' then '
    '((r.priority_notified_at at time zone ''UTC'') '
    '+ pg_catalog.make_interval(mins => r.priority_window_minutes)) at time zone ''UTC'' '
    'else r.priority_notified_at end';
    -- One that has not ended and that the binding says is taken off is a cancelled one.
    v_is_taken_off constant text := '(r.status in (''pending'', ''accepted'') and ('
    || dispatch.taken_off() || ') is true)';
    -- What is too long for a brand or a place matches nobody (dispatch.mechanic_words), and is in no
    -- list. How many bytes it has is known without reading it.
    v_short constant text := 'case when octet_length(r.%1$s::text) > 400 then null '
    'when length(r.%1$s::text) <= 100 then r.%1$s::text end';
    -- Of what is too long for a kind of session or a plan the beginning says that it is none. (On ours
    -- no client writes these.)
    v_cut constant text := 'case when octet_length(r.%1$s::text) > 400 then left(r.%1$s::text, 100) '
    'else r.%1$s::text end';
    v_is_pending constant text := 'r.status = ''pending'' and not ' || v_is_taken_off;
begin
    return query
    select
        w.number,
        w.name,
        case
            when
                bool_and(
                    a.attnum is not null
                    and case
                        when n.name in ('accepted_at', 'expires_at')
                            then y.oid in ('timestamptz'::regtype, 'timestamp'::regtype)
                        when w.number between 12 and 14 then y.typcategory in ('S', 'E')
                        else true
                    end
                )
                and (p_with_windows or not w.needs && array[
                    'preferred_mechanic_id', 'priority_window_minutes', 'priority_notified_at'
                ])
                then coalesce(
                    w.expression,
                    case
                        when
                            w.number in (5, 6) and not v_is_ours and bool_and(y.typcategory = 'S')
                            then format(v_cut, w.needs[1])
                    end,
                    'r.' || w.needs[1]
                    || case
                        when bool_and(a.atttypid = w.type::regtype) then ''
                        when w.type = 'timestamptz' and bool_and(a.atttypid = 'timestamp'::regtype)
                            then ' at time zone ''UTC'''
                        else '::' || w.type
                    end
                )
            else 'null::' || w.type
        end,
        w.of_view
    from (
        values
        (1, 'id', 'uuid', '{id}'::text[], null, null),
        (2, 'created_at', 'timestamptz', '{created_at}', null, null),
        (3, 'customer_id', 'uuid', '{customer_id}', null, null),
        (
            4, 'mechanic_user_id', 'uuid', '{mechanic_id}',
            case
                when not dispatch.assigns_user_id()
                    then
                        '(select m.user_id from dispatch.mechanics as m '
                        'where m.id = r.mechanic_id)'
            end,
            null
        ),
        (5, 'session_type', 'text', '{session_type}', null, null),
        (6, 'plan_code', 'text', '{plan_code}', null, null),
        (
            7, 'status', 'text', '{status}',
            'case when ' || v_is_taken_off || ' then ''cancelled'' else r.status::text end',
            null
        ),
        (
            8, 'is_pending', 'boolean', '{status}',
            v_is_pending,
            case when not v_is_ours then '(w.closed_at is null and ' || v_is_pending || ')' end
        ),
        (9, 'accepted_at', 'timestamptz', '{accepted_at}', null, null),
        (
            10, 'ended_at', 'timestamptz',
            case when v_is_ours then '{accepted_at,updated_at}' else '{id}' end::text[],
            case
                when v_is_ours then 'coalesce(r.accepted_at, r.updated_at)'
                else '(select w.closed_at from dispatch.windows as w where w.request_id = r.id)'
            end,
            case when not v_is_ours then 'w.closed_at' end
        ),
        (11, 'expires_at', 'timestamptz', '{expires_at}', null, null),
        (12, 'requested_brand', 'text', '{requested_brand}', format(v_short, 'requested_brand'), null),
        (13, 'customer_city', 'text', '{customer_city}', format(v_short, 'customer_city'), null),
        (14, 'customer_country', 'text', '{customer_country}', format(v_short, 'customer_country'), null),
        (15, 'preferred_mechanic_id', 'uuid', '{preferred_mechanic_id}', null, null),
        (
            16, 'preferred_user_id', 'uuid', '{preferred_mechanic_id}',
            case
                when not v_is_ours
                    then
                        '(select m.user_id from dispatch.mechanics as m '
                        'where m.id = r.preferred_mechanic_id)'
            end,
            null
        ),
        (17, 'window_minutes', 'integer', '{priority_window_minutes}', null, null),
        (18, 'window_began_at', 'timestamptz', '{priority_notified_at}', null, null),
        (
            19, 'window_ends_at', 'timestamptz',
            '{priority_notified_at,priority_window_minutes}',
            v_window_end,
            case when not v_is_ours then 'w.ends_at' end
        ),
        (
            20, 'announced_at', 'timestamptz',
            case when v_is_ours then '{notification_sent_at}' else '{id}' end::text[],
            case
                when not v_is_ours
                    then
                        '(select w.announced_at from dispatch.windows as w '
                        'where w.request_id = r.id)'
            end,
            case when not v_is_ours then 'w.announced_at' end
        ),
        (21, 'is_urgent', 'boolean', '{is_urgent}', null, null)
    ) as w (number, name, type, needs, expression, of_view)
    cross join unnest(w.needs) as n (name)
    left join pg_catalog.pg_attribute as a
        on
            a.attrelid = 'public.session_requests'::regclass
            and a.attname = n.name and not a.attisdropped
            -- No cast makes a yes or no of another's 'high' or 3.
            and (n.name <> 'is_urgent' or a.atttypid = 'boolean'::regtype)
    left join pg_catalog.pg_type as x on x.oid = a.atttypid
    left join pg_catalog.pg_type as y on y.oid = coalesce(nullif(x.typbasetype, 0), x.oid)
    group by w.number, w.name, w.type, w.needs, w.expression, w.of_view;
end;
$$;

comment on function dispatch.request_columns(boolean) is
'Each column of dispatch.requests as an expression: of a row of session_requests, r, as a trigger '
'has it; and in the view, beside its row of dispatch.windows, w (null: the same). Those of the '
'priority window are null unless p_with_windows.';
revoke all on function dispatch.request_columns(boolean)
from public, anon, authenticated, service_role;
