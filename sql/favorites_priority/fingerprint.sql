-- The policies as they are now, for verify.sql. The feature adds no table to keep them in, and what
-- is kept on an object of its own goes with it.
do $$
begin
    execute pg_catalog.format(
        'comment on trigger mechanics_release_windows on public.mechanics is %L',
        'Policies when up.sql was last run: ' || dispatch.policy_fingerprints()::text
    );
end;
$$;
