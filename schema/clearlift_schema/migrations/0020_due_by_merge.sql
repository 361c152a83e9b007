-- What the query `due` merges when very many connections are overdue and hardly any is due: three lists of
-- ids in one order, each in an index that holds all that is asked of it.
--
-- An index on a table of the API worker: who is active, and when they were last synced. The column itself
-- stands behind what is made of it, for only then does the planner count on not reading the table.
CREATE INDEX IF NOT EXISTS clearlift_connections_by_id ON platform_connections (
  id,
  coalesce(unixepoch(iif(last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', last_synced_at, NULL)), -1),
  last_synced_at
) WHERE is_active = 1;

-- In the place of clearlift_open_jobs: the same, with the age of a job.
CREATE INDEX IF NOT EXISTS clearlift_open_jobs_by_age ON sync_jobs (
  connection_id,
  max(
    coalesce(unixepoch(iif(created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', created_at, NULL)), 0),
    coalesce(unixepoch(iif(started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', started_at, NULL)), 0)
  )
) WHERE status IN ('pending', 'running');
DROP INDEX IF EXISTS clearlift_open_jobs;

-- Who waits, and until when.
CREATE INDEX IF NOT EXISTS connection_state_resting ON connection_state (
  connection_id, state, retry_at, lease_until
) WHERE state IN ('failed', 'refreshing');
