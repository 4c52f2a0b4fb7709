-- What older Supabase projects still do: every new object in public is open to the Data API roles.
-- Run by postgres before an install, to show that the install ends with the same grants.
alter default privileges for role postgres in schema public
grant all on tables to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
grant all on sequences to anon, authenticated, service_role;
alter default privileges for role postgres in schema public
grant all on functions to anon, authenticated, service_role;
