// Installs graphile-worker, or does what is due and prints how many seconds that took.
import { Logger, runMigrations, runOnce } from "graphile-worker";

// The function in the database is what its handler calls for each job.
const [connectionString, handler] = process.argv.slice(2);
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    connectionString,
    logger,
    concurrentJobs: 10,
    maxPoolSize: 12,
    // What its page on performance advises for many short jobs.
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};
const taskList = {
  fallback: ({ request_id }, { query }) => query(`select ${handler}($1)`, [request_id]),
};

if (handler === "install") {
  await runMigrations({ preset });
} else {
  const began = performance.now();
  await runOnce({ preset, taskList });
  console.log((performance.now() - began) / 1000);
}
