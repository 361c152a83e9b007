-- The archive where no cursor stays open between two requests: pages of whole streams, each page
-- read in one batch, which is one moment.

-- name: known
-- The next ids that the log or the projection knows, and how much there is to read of each.
SELECT connection_id, version
FROM (
  SELECT s.connection_id AS connection_id, s.version AS version
  FROM connection_state AS s
  WHERE s.connection_id >= coalesce(:after, '') AND s.connection_id IS NOT :after
  UNION ALL
  SELECT o.connection_id, 1
  FROM outbox AS o
  WHERE o.version = 1
    AND o.connection_id >= coalesce(:after, '') AND o.connection_id IS NOT :after
    AND NOT EXISTS (SELECT 1 FROM connection_state AS s WHERE s.connection_id = o.connection_id)
)
ORDER BY connection_id
LIMIT :limit;

-- name: entries_between
SELECT
  position, connection_id, version, transition, source, target, occurred_at, run_id, job_id, data,
  hash
FROM outbox
WHERE connection_id >= :first AND connection_id <= :last
ORDER BY connection_id, version;

-- name: projections_between
SELECT
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
FROM connection_state
WHERE connection_id >= :first AND connection_id <= :last
ORDER BY connection_id;

-- name: jobs_between
-- By the ids in the log, for nothing else of theirs is indexed.
SELECT j.id AS id, j.organization_id AS organization_id, o.connection_id AS connection_id,
  j.status AS status, j.job_type AS job_type, j.created_at AS created_at, j.metadata AS metadata
FROM outbox AS o
CROSS JOIN sync_jobs AS j ON j.id = o.job_id
WHERE o.connection_id >= :first AND o.connection_id <= :last
  AND o.transition = 'job_created'
  AND j.connection_id = o.connection_id
ORDER BY o.connection_id, o.version;

-- name: connections_between
SELECT id FROM platform_connections WHERE id >= :first AND id <= :last;

-- name: unexplained
-- Jobs that say they are ours, and that no row of the log knows.
SELECT j.id AS id, j.organization_id AS organization_id, j.connection_id AS connection_id,
  j.status AS status, j.job_type AS job_type, j.created_at AS created_at, j.metadata AS metadata
FROM sync_jobs AS j
WHERE j.metadata GLOB '*"created_by":"cron-worker"*'
  AND NOT EXISTS (
    SELECT 1 FROM outbox AS o WHERE o.connection_id = j.connection_id AND o.job_id = j.id
  )
ORDER BY j.connection_id, j.id
LIMIT :limit;

-- name: forget_one
-- What the log does not know.
DELETE FROM connection_state
WHERE NOT EXISTS (SELECT 1 FROM outbox AS o WHERE o.connection_id = connection_state.connection_id);

-- name: remember_one
INSERT INTO connection_state (
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
)
SELECT
  :connection_id, :state, :version, :hash, :changed_at, :job_id, :lease_until, :retry_at, :failures,
  :credentials, :in_doubt, :paused_at, :position
/* rows */
WHERE NOT EXISTS (
  SELECT 1 FROM outbox AS o WHERE o.connection_id = :connection_id AND o.version = :version + 1
)
ON CONFLICT (connection_id) DO UPDATE SET
  state = excluded.state, version = excluded.version, hash = excluded.hash,
  changed_at = excluded.changed_at, job_id = excluded.job_id, lease_until = excluded.lease_until,
  retry_at = excluded.retry_at, failures = excluded.failures, credentials = excluded.credentials,
  in_doubt = excluded.in_doubt, paused_at = excluded.paused_at, position = excluded.position;
