-- What replay reads. Ordered by id as SQLite's BINARY collation does: by the bytes of its UTF-8, which
-- is also the order of Python's strings. STRICT or not, in a damaged row a column may hold anything.

-- name: entries
SELECT
  position, connection_id, version, transition, source, target,
  CAST(occurred_at AS INTEGER) AS occurred_at, run_id, job_id, CAST(data AS TEXT) AS data,
  hash
FROM outbox
ORDER BY connection_id, version;

-- name: entries_of
SELECT
  position, connection_id, version, transition, source, target,
  CAST(occurred_at AS INTEGER) AS occurred_at, run_id, job_id, CAST(data AS TEXT) AS data,
  hash
FROM outbox
WHERE connection_id = :connection_id
ORDER BY version;

-- name: projections
SELECT
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
FROM connection_state
ORDER BY connection_id;

-- name: projections_of
SELECT
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
FROM connection_state
WHERE connection_id = :connection_id;

-- name: jobs
SELECT id, organization_id, connection_id, status, job_type, created_at, metadata
FROM sync_jobs
WHERE typeof(connection_id) = 'text'  -- Others may write what they like there.
ORDER BY connection_id, rowid;

-- name: jobs_of
SELECT id, organization_id, connection_id, status, job_type, created_at, metadata
FROM sync_jobs
WHERE connection_id = :connection_id
ORDER BY rowid;

-- name: connections
SELECT id FROM platform_connections WHERE typeof(id) = 'text' ORDER BY id;

-- name: connections_of
SELECT id FROM platform_connections WHERE id = :connection_id;

-- name: positions
SELECT
  (SELECT count(*) FROM outbox) AS entries,
  max(
    coalesce((SELECT max(position) FROM outbox), 0),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)
  ) AS highest;

-- name: forget
DELETE FROM connection_state;

-- name: remember
INSERT INTO connection_state (
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
)
VALUES (
  :connection_id, :state, :version, :hash, :changed_at, :job_id, :lease_until, :retry_at, :failures,
  :credentials, :in_doubt, :paused_at, :position
);
