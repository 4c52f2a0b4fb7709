-- For each thing that the binding says, the columns that may be it, best first, each with
-- its evidence; for favourites and plans also which table is meant. `plausible`: where two are, it
-- is asked.
do $read$
declare
    v_readings jsonb;
    v_places jsonb;
    v_gone jsonb;
begin
    with columns as (
        select
            c.*,
            -- createdAt is created_at.
            lower(regexp_replace(c.name, '([a-z0-9])([A-Z])', '\1_\2', 'g')) as said,
            coalesce(c.words, c.vals) as known,
            case
                when c.words is null then 'values are'
                else c.words_from || ' knows'
            end as known_from,
            concat_ws(
                '; ',
                'by foreign key to ' || c.points_to || case
                    when c.is_user and c.points_to !~ 'auth\.users' then ', a user''s id'
                    else ''
                end,
                case
                    when c.users > 0
                        then format('%s of %s values are users'' ids', c.users, c.filled)
                end,
                case
                    when c.mechanics > 0 and c.role in ('favorites', 'requests')
                        then format('%s of %s values are mechanics'' ids', c.mechanics, c.filled)
                end
            ) as shown
        from jsonb_to_recordset(current_setting('discover.columns')::jsonb) as c (
            role text, relation text, relname text, relkind text, attnum integer, name text,
            type text, kind text, base_type text, not_null boolean, is_unique boolean,
            points_to text, to_mechanics text, is_user boolean, words text[], words_from text,
            is_readable boolean,
            "rows" bigint, filled bigint, differ bigint, vals text[], codes bigint, users bigint, mechanics bigint
        )
    ),

    -- What a name says well enough, best first.
    names as (
        select w.thing, w.role, w.kinds, w.names, w.asks
        from (
            values
            (
                'display_name', 'mechanics', '{text}'::text[], false,
                '{display_name,full_name,name,business_name,company_name,shop_name,nickname,
                username,first_name}'::text[]
            ),
            (
                'is_online', 'mechanics', '{boolean}', true,
                '{is_online,online,is_available,available,availability}'
            ),
            (
                'last_seen_at', 'mechanics', '{time}', false,
                '{last_seen_at,last_seen,last_active_at,last_active,last_online_at,last_online,
                last_heartbeat_at,last_heartbeat,last_activity_at,last_activity,last_updated_at,
                last_updated,updated_at}'
            ),
            (
                'city', 'mechanics', '{text,enum}', false,
                '{city,base_city,home_city,location_city,city_name,town}'
            ),
            (
                'country', 'mechanics', '{text,enum}', false,
                '{country,country_code,base_country,location_country,country_name}'
            ),
            (
                'favorited_at', 'favorites', '{time}', false,
                '{favorited_at,favourited_at,added_at,created_at,inserted_at,saved_at,since}'
            ),
            ('title', 'plans', '{text}', false, '{title,name,display_name,label,plan_name}'),
            ('currency', 'plans', '{text,enum}', false, '{currency,currency_code,price_currency}'),
            (
                'is_active', 'plans', '{boolean}', false,
                '{is_active,active,is_enabled,enabled,is_published,published,is_available,
                available}'
            )
        ) as w (thing, role, kinds, asks, names)
    ),

    -- What takes a row out of service, whatever else is said of it; of favourites also what keeps one
    -- (of mechanics and plans that is read below). A request may be blocked and go on.
    gone as (
        select
            c.relation,
            c.name,
            case
                when c.kind = 'time' then 'is null'
                when c.kind <> 'boolean' then '= ''active'''
                when c.said ~ 'active|enabled|fav|liked' then 'is not false'
                else 'is not true'
            end as test
        from columns as c
        where
            (c.role <> 'requests' or c.said ~ 'deleted|archived|removed')
            and (
                (
                    c.kind = 'time'
                    and c.said in (
                        'deleted_at', 'archived_at', 'removed_at', 'suspended_at', 'banned_at',
                        'blocked_at', 'disabled_at', 'deactivated_at'
                    )
                )
                or (
                    c.kind = 'boolean'
                    and c.said
                    ~ '^(is_)?(deleted|archived|removed|suspended|banned|blocked|disabled)$'
                )
                or (
                    c.role = 'favorites'
                    and case c.kind
                        when 'time' then c.said ~ '^(un\w+|ended|revoked|cancell?ed|inactivated)_at$'
                        when 'boolean' then c.said ~ '^(is_)?(active|enabled|favou?rite|liked)$'
                        when 'text' then c.said ~ 'status|state' and 'active' = any(c.known)
                        when 'enum' then c.said ~ 'status|state' and 'active' = any(c.known)
                    end
                )
            )
    ),

    session_types as (
        select c.known, c.type, c.known_from from columns as c
        where c.role = 'requests' and c.name = 'session_type'
    ),

    -- (thing, column, rank: the smallest is best, plausible, evidence)
    readings as (
        select
            n.thing, c.relation, c.name,
            array[array_position(n.names, c.said)] as rank,
            n.asks as plausible,
            'by its name' as evidence
        from names as n
        inner join columns as c
            on c.role = n.role and c.kind = any(n.kinds) and c.said = any(n.names)

        union all
        -- The user who is the mechanic; who made or approved the row is another.
        select
            'user_id', c.relation, c.name,
            array[
                (c.said ~ '(_by|_by_id)$')::integer,
                case when c.is_user then 1 when c.users > 0 then 2 else 3 end,
                coalesce(c."rows" > 0 and c.filled = 0, false)::integer,
                (not c.is_unique)::integer,
                coalesce(
                    array_position(
                        array[
                            'id', 'user_id', 'auth_user_id', 'auth_id', 'profile_id', 'account_id'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            c.said !~ '(_by|_by_id)$' and (c.is_user or c.users > 0),
            coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'mechanics' and c.kind = 'uuid'
            and (
                c.is_user
                or (
                    c.points_to is null
                    and (
                        c.users > 0
                        or (
                            c.said ~ '^(user|auth_user|auth|profile|account|owner)_id$'
                            and coalesce(c.filled, 0) = 0
                        )
                    )
                )
            )

        union all
        -- Whether a mechanic is approved. A word that a CHECK, an enum or the values know is best.
        select
            'approval', c.relation, c.name,
            array[
                case
                    when c.kind in ('text', 'enum')
                        then
                            coalesce(
                                array_position(
                                    array['approved', '', 'verified', 'active'], w.lowered
                                ),
                                6
                            )
                    when c.kind = 'time' then 5
                    when c.said ~ 'approved' then 2
                    when c.said ~ 'verified|vetted' then 3
                    else 7
                end,
                coalesce(
                    array_position(
                        array[
                            'approval_status', 'application_status', 'verification_status',
                            'status', 'is_approved', 'approved', 'is_verified', 'verified'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            (c.kind in ('text', 'enum') and w.word is not null)
            or (c.kind = 'boolean' and c.said !~ 'active'),
            case
                when w.word is not null
                    then format('its %s %s', c.known_from, array_to_string(c.known, ', '))
                when c.kind in ('text', 'enum') then 'by its name; no value is known'
                else format('by its name, a %s', c.kind)
            end
        from columns as c
        left join lateral (
            select k.word, lower(k.word) as lowered from unnest(c.known) as k (word)
            where lower(k.word) in ('approved', 'verified', 'active')
            order by array_position(array['approved', 'verified', 'active'], lower(k.word)) limit 1
        ) as w on c.kind in ('text', 'enum')
        where
            c.role = 'mechanics'
            and (
                (
                    c.kind in ('text', 'enum')
                    and c.said ~ '^\w*(status|approval|verification|vetting|state)\w*$'
                    -- Of others' accounts and of presence "active" is said too.
                    and (
                        w.lowered = 'approved'
                        or c.said !~ 'avail|online|presence|stripe|pay|subscr'
                    )
                    and (w.word is not null or coalesce(cardinality(c.known), 0) = 0)
                )
                or (
                    c.kind = 'boolean'
                    and c.said ~ '^(is_|admin_)?(approved|verified|vetted|active)$'
                )
                or (c.kind = 'time' and c.said in ('approved_at', 'verified_at'))
            )

        union all
        select
            'is_online', c.relation, c.name, array[9, c.attnum], true,
            format('its %s %s', c.known_from, array_to_string(c.known, ', '))
        from columns as c
        where
            c.role = 'mechanics' and c.kind in ('text', 'enum')
            and c.said ~ 'avail|online|presence' and c.known && array['online', 'available']

        union all
        -- A list, a text or a JSON array.
        select
            'brands', c.relation, c.name,
            array[
                case when c.said ~* 'brand' then 1 when c.said ~* 'make' then 2 else 3 end,
                array_position(array['list', 'json', 'text'], c.kind), c.attnum
            ],
            false, 'by its name, ' || c.type
        from columns as c
        where
            c.role = 'mechanics' and c.kind in ('list', 'json', 'text')
            and c.said ~* '\m(\w+_)?(brands?|makes?|speciali\w+|specialt\w+)(_\w+)?\M'
            and c.said !~* '(url|logo|_id)$'

        union all
        -- Favourites: the mechanic, by whichever of their ids.
        select
            'favorite_mechanic', c.relation, c.name,
            array[
                case
                    when c.to_mechanics is not null then 1
                    when c.points_to is null and c.mechanics > 0 then 2
                    when c.is_user or c.users > 0 then 3
                    else 4
                end,
                (c.said !~ 'mechanic')::integer, c.attnum
            ],
            false, coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'favorites' and c.kind = 'uuid'
            and (
                c.to_mechanics is not null
                or (
                    c.points_to is null and c.mechanics > 0
                    and c.said !~ '^(id|customer_id|user_id)$'
                )
                or (
                    c.said ~ 'mechanic|fav'
                    and (c.is_user or (c.points_to is null and c.users > 0))
                )
                or (c.said ~ 'mechanic' and c.points_to is null and coalesce(c.filled, 0) = 0)
                -- What another column says is a mechanic's.
                or (
                    c.said ~ '_id$' and c.points_to is null and coalesce(c.filled, 0) = 0
                    and c.said !~ '^(customer|user|client|profile|owner)_id$'
                    and exists (
                        select from columns as k
                        where
                            k.relation = c.relation and k.kind in ('text', 'enum')
                            and 'mechanic' = any(k.known)
                    )
                )
            )

        union all
        select
            'favorite_customer', c.relation, c.name,
            array[
                coalesce(
                    array_position(
                        array['customer_id', 'user_id', 'client_id', 'profile_id', 'owner_id'],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            false, coalesce(nullif(c.shown, ''), 'by its name')
        from columns as c
        where
            c.role = 'favorites' and c.kind = 'uuid' and c.said !~ 'mechanic|fav|_by$'
            and (
                c.is_user
                or (
                    c.points_to is null
                    and (
                        c.users > 0
                        or (c.said ~ 'customer|user|client|profile' and coalesce(c.filled, 0) = 0)
                    )
                )
            )

        union all
        -- Plans: what plan_code of a request holds.
        select
            'code', c.relation, c.name,
            array[
                (q.name is null)::integer,
                -coalesce(c.codes, 0)::integer,
                (not c.is_unique)::integer,
                coalesce(
                    array_position(
                        array[
                            'code', 'plan_code', 'slug', 'key', 'sku', 'handle', 'identifier', 'id'
                        ],
                        c.said
                    ),
                    9
                ),
                c.attnum
            ],
            c.said <> 'id' and coalesce(c.codes, 0) = 0 and q.name is null,
            case
                when q.name is not null then 'by foreign key from session_requests.plan_code'
                when c.codes > 0
                    then
                        format(
                            '%s of the %s plan_codes of session_requests are values of it',
                            c.codes, current_setting('discover.plan_codes')
                        )
                else 'by its name'
            end
        from columns as c
        left join columns as q
            on
                q.role = 'requests' and q.name = 'plan_code'
                and q.points_to = format('%s (%I)', c.relation, c.name)
        where
            c.role = 'plans' and c.kind in ('text', 'uuid', 'integer', 'enum')
            and (
                c.codes > 0
                or q.name is not null
                or c.said in (
                    'code', 'plan_code', 'slug', 'key', 'sku', 'handle', 'identifier', 'id'
                )
            )

        union all
        select
            'session_type', c.relation, c.name,
            array[
                case
                    when c.type = t.type and c.kind = 'enum' then 1
                    when c.said ~ 'session' then 2
                    else 3
                end,
                c.attnum
            ],
            true,
            case
                when cardinality(c.known) > 0
                    then format('its %s %s', c.known_from, array_to_string(c.known, ', '))
                else 'by its name'
            end
        from columns as c
        left join session_types as t on true
        where
            c.role = 'plans' and c.kind in ('text', 'enum')
            and (
                c.said in ('session_type', 'session_kind')
                or (c.kind = 'enum' and c.type = t.type)
                or (
                    c.said ~ 'type|kind|mode|category' and cardinality(c.known) > 0
                    and c.known <@ t.known
                )
            )

        union all
        -- The price: what is said to be in minor units, then what is not.
        select
            'price', c.relation, c.name,
            array[
                case
                    when c.said ~ '(cents?|minor|pence)$|^unit_amount' then 1
                    when c.said ~ '^(price|amount)$' then 2
                    else 3
                end,
                c.attnum
            ],
            c.said !~ '(cents?|minor|pence)$|^unit_amount',
            'by its name'
        from columns as c
        where
            c.role = 'plans' and c.kind in ('integer', 'numeric') and c.points_to is null
            and c.said ~ 'price|amount|cents|pence|cost|fee$'
            and c.said !~ 'old|original|compare|discount|tax|count|max|min_|payout|_id$'
    ),

    -- Which table the favourites are, and which the plans: those that have what it takes.
    places as (
        select
            t.role,
            t.relation,
            t.relname,
            array[
                (t.relname not in ('service_plans', 'customer_favorites'))::integer,
                -- The plan_codes of the requests are in it, or the requests point to it.
                -(t.role = 'plans' and t.codes > 0)::integer,
                -t.is_pointed_to::integer,
                case
                    when t.role = 'plans' then (t.relname !~* 'plan')::integer
                    else t.mechanic_rank
                end
            ] as rank
        from (
            select
                c.role,
                c.relation,
                c.relname,
                coalesce(max(c.codes), 0) as codes,
                bool_or(coalesce(c.codes, 0) > 0)
                or exists (
                    select from columns as q
                    where
                        q.role = 'requests' and q.name = 'plan_code'
                        and starts_with(q.points_to, c.relation || ' (')
                ) as is_booked,
                exists (
                    select from columns as q
                    where q.role = 'requests' and starts_with(q.points_to, c.relation || ' (')
                ) as is_pointed_to,
                (
                    select min(r.rank[1]) from readings as r
                    where r.thing = 'favorite_mechanic' and r.relation = c.relation
                ) as mechanic_rank,
                case c.role
                    when 'plans'
                        then
                            exists (
                                select from readings as r
                                where r.thing = 'code' and r.relation = c.relation
                            )
                            and exists (
                                select from readings as r
                                where
                                    r.relation = c.relation
                                    and (
                                        r.thing = 'price'
                                        or (r.thing = 'title' and c.relname = 'service_plans')
                                    )
                            )
                    when 'favorites'
                        then exists (
                            select from readings as r, readings as s
                            where
                                r.relation = c.relation and s.relation = c.relation
                                and r.thing = 'favorite_mechanic' and s.thing = 'favorite_customer'
                                and r.name <> s.name
                        )
                end as is_usable
            from columns as c
            group by c.role, c.relation, c.relname
        ) as t
        -- What plan_code holds are the plans, wherever their price is.
        where t.is_usable or (t.role = 'plans' and t.is_booked)
    ),

    ranked as (
        select
            p.*,
            rank() over (partition by p.role order by p.rank) as place,
            row_number() over (partition by p.role order by p.rank, p.relname) as number
        from places as p
    ),

    taken as (
        select
            r.thing,
            jsonb_agg(
                to_jsonb(c) || jsonb_build_object('evidence', r.evidence, 'plausible', r.plausible)
                order by r.rank
            ) as candidates
        from readings as r
        inner join columns as c on c.relation = r.relation and c.name = r.name
        where
            c.role not in ('favorites', 'plans')
            or exists (
                select from ranked as p
                where p.number = 1 and p.role = c.role and p.relation = c.relation
            )
        group by r.thing
    )

    select
        (select jsonb_object_agg(t.thing, t.candidates) from taken as t),
        (
            select jsonb_object_agg(p.role, p.relations)
            from (
                select r.role, jsonb_agg(r.relation order by r.number) as relations
                from ranked as r
                where r.place = 1
                group by r.role
            ) as p
        ),
        (select jsonb_agg(to_jsonb(g)) from gone as g)
    into v_readings, v_places, v_gone;

    perform set_config('discover.readings', coalesce(v_readings, '{}')::text, true);
    perform set_config('discover.places', coalesce(v_places, '{}')::text, true);
    perform set_config('discover.gone', coalesce(v_gone, '[]')::text, true);
end;
$read$;
