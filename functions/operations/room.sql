-- For the owner. The flag's setter comes with the feature (sql/favorites_priority/up.sql).
\ir dispatch.cron_checks.sql
\ir dispatch.cron_waits_for_each_job.sql
\ir dispatch.expect_stripe.sql
\ir dispatch.explain_routing.sql
\ir dispatch.health.sql
\ir dispatch.payment_checks.sql
\ir dispatch.policy_fingerprints.sql
\ir dispatch.prune_cron_runs.sql
\ir dispatch.prune_events.sql
\ir dispatch.prune_stripe_events.sql
\ir dispatch.prune_windows.sql
\ir dispatch.realtime_checks.sql
\ir dispatch.refused_output_plugins.sql
\ir dispatch.scrub_stripe_events.sql
\ir dispatch.scrubbed_event.sql
\ir dispatch.session_checks.sql
\ir dispatch.unsettled_requests.sql
