-- Table changes, on a marketplace of ours: Realtime sends them to whom row level security lets see
-- the row. Another's publication stays as it is.
do $$
begin
    if
        exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime')
        and not exists (
            select from pg_catalog.pg_publication_tables
            where
                pubname = 'supabase_realtime'
                and schemaname = 'public' and tablename = 'session_requests'
        )
    then
        alter publication supabase_realtime add table public.session_requests;
    end if;
exception
    when insufficient_privilege then
        raise warning 'session_requests is not in the publication supabase_realtime: %', sqlerrm;
end;
$$;
