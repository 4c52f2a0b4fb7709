-- The binding of the reference marketplace (sql/marketplace/). A marketplace that was there first
-- has one of its own, which sql/discover.sql writes. No other file names a column of these tables.
create or replace view dispatch.mechanics as
select
    m.id,
    m.id as user_id,
    m.display_name,
    -- Never null, and in a form that an index on the approved ones serves.
    (m.status = 'approved' and m.status is not null) as is_approved,
    m.is_online,
    m.updated_at as last_seen_at,
    m.brands,
    m.city,
    m.country
from public.mechanics as m;

create or replace view dispatch.plans as
select
    p.code,
    p.title,
    p.session_type::text as session_type,
    p.price_cents,
    p.currency,
    p.is_active
from public.service_plans as p;

create or replace view dispatch.favorites as
select
    f.customer_id,
    f.mechanic_id,
    f.created_at as favorited_at
from public.customer_favorites as f;

-- The marketplace is ours: the engine governs every request.
create or replace function dispatch.governs_all() returns boolean
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select true $$;

-- session_requests.mechanic_id is the user's id.
create or replace function dispatch.assigns_user_id() returns boolean
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select true $$;

create or replace function dispatch.approval_columns() returns text[]
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select array['status'] $$;

create or replace function dispatch.feed_is_private() returns boolean
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select true $$;

-- No request is taken off but by its status.
create or replace function dispatch.taken_off() returns text
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select 'false' $$;

-- To every approved mechanic.
create or replace function dispatch.open_to() returns text
language sql immutable security invoker set search_path = pg_catalog, pg_temp
as $$ select 'true' $$;
