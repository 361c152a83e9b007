-- What operators ask: see engine/clearlift_engine/questions.py. Times are ms. `--sql` prints these very
-- statements, for a shell's double quotes: no character that means something there, and no comment
-- behind a line. A time for people to read, where ms is what the program reads, comes last.

-- name: recent_jobs
-- Rows are written in the order of their rowids, so the newest are at the end of the table.
SELECT
  j.id, j.connection_id, substr(CAST(c.platform AS TEXT), 1, 64) AS platform,
  substr(CAST(c.account_name AS TEXT), 1, 256) AS account_name, j.status, j.job_type, j.created_at,
  j.started_at, j.completed_at, j.records_synced, j.error,
  datetime(j.created_at / 1000, 'unixepoch') AS created
FROM (
  SELECT
    rowid AS written, CAST(id AS TEXT) AS id, CAST(connection_id AS TEXT) AS connection_id,
    substr(CAST(status AS TEXT), 1, 64) AS status, substr(CAST(job_type AS TEXT), 1, 64) AS job_type,
    CAST(round((julianday(iif(created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', created_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS created_at,
    CAST(round((julianday(iif(started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', started_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS started_at,
    CAST(round((julianday(iif(completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', completed_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS completed_at,
    records_synced, substr(CAST(error_message AS TEXT), 1, 1000) AS error
  FROM sync_jobs
  ORDER BY rowid DESC
  LIMIT :limit + 1000
) AS j
LEFT JOIN platform_connections AS c ON c.id = j.connection_id
ORDER BY j.created_at IS NULL, j.created_at DESC, j.written DESC
LIMIT :limit;

-- name: jobs
SELECT
  CAST(j.id AS TEXT) AS id, CAST(j.connection_id AS TEXT) AS connection_id,
  substr(CAST(c.platform AS TEXT), 1, 64) AS platform,
  substr(CAST(c.account_name AS TEXT), 1, 256) AS account_name,
  substr(CAST(j.status AS TEXT), 1, 64) AS status, substr(CAST(j.job_type AS TEXT), 1, 64) AS job_type,
  CAST(round((julianday(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS created_at,
  CAST(round((julianday(iif(j.started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.started_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS started_at,
  CAST(round((julianday(iif(j.completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.completed_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS completed_at,
  j.records_synced, substr(CAST(j.error_message AS TEXT), 1, 1000) AS error,
  datetime(unixepoch(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)), 'unixepoch') AS created
FROM json_each(:job_ids) AS r
CROSS JOIN sync_jobs AS j ON j.id = r.value
LEFT JOIN platform_connections AS c ON c.id = j.connection_id;

-- name: jobs_by_status
-- It reads every job, for closed ones have no index of ours; ten thousand at a time, for SQLite sorts
-- what it groups, and may sort it in memory.
WITH RECURSIVE pages(low) AS (
  SELECT min(rowid) FROM sync_jobs
  UNION ALL
  SELECT (SELECT min(rowid) FROM sync_jobs WHERE rowid >= p.low + 10000)
  FROM pages AS p
  WHERE p.low IS NOT NULL
)
SELECT counted.value ->> 0 AS status, sum(counted.value ->> 1) AS jobs
FROM pages AS p
CROSS JOIN json_each(
  (
    SELECT json_group_array(json_array(status, jobs))
    FROM (
      SELECT substr(CAST(status AS TEXT), 1, 64) AS status, count(*) AS jobs
      FROM sync_jobs
      WHERE rowid >= p.low AND rowid < p.low + 10000
        AND CAST(round((julianday(iif(created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', created_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) >= :since_ms
      GROUP BY 1
    )
  )
) AS counted
GROUP BY 1
ORDER BY 1;

-- name: failures
-- It walks the index of all failures, which has them grouped: nothing is sorted but the outcome.
SELECT
  f.connection_id, substr(CAST(c.platform AS TEXT), 1, 64) AS platform,
  substr(CAST(c.account_name AS TEXT), 1, 256) AS account_name, f.failures,
  o.occurred_at AS failed_at, o.data, s.state, s.retry_at, s.paused_at,
  iif(json_valid(o.data), o.data ->> 'class', NULL) AS class,
  iif(json_valid(o.data), o.data ->> 'message', NULL) AS message,
  datetime(o.occurred_at / 1000, 'unixepoch') AS failed
FROM (
  SELECT connection_id, count(*) AS failures, max(position) AS position
  FROM outbox
  WHERE transition = 'sync_failed' AND occurred_at >= :since_ms
  GROUP BY connection_id
  HAVING count(*) > :more_than
  ORDER BY failures DESC, position DESC
  LIMIT :limit
) AS f
CROSS JOIN outbox AS o ON o.position = f.position
LEFT JOIN connection_state AS s ON s.connection_id = f.connection_id
LEFT JOIN platform_connections AS c ON c.id = f.connection_id
ORDER BY f.failures DESC, f.position DESC;

-- name: runs
-- What all of them add up to stands in each row.
SELECT
  id, command, started_at, finished_at, outcome,
  coalesce(report ->> 'due', 0) AS due, coalesce(report ->> 'refreshed', 0) AS refreshed,
  coalesce(report ->> 'jobs_created', 0) AS jobs_created, coalesce(report ->> 'failed', 0) AS failed,
  coalesce(report ->> 'deferred', 0) AS deferred, coalesce(report ->> 'delivered', 0) AS delivered,
  coalesce(report ->> 'duration_ms', finished_at - started_at) AS duration_ms, cpu_ms,
  report ->> 'error' AS error,
  count(*) OVER () AS all_runs,
  sum(finished_at IS NULL) OVER () AS all_unfinished,
  sum(finished_at IS NOT NULL AND outcome IS NOT 'done') OVER () AS all_not_done,
  sum(coalesce(report ->> 'failed', 0)) OVER () AS all_failed,
  sum(coalesce(report ->> 'duration_ms', finished_at - started_at)) OVER () AS all_duration_ms,
  sum(cpu_ms) OVER () AS all_cpu_ms,
  datetime(started_at / 1000, 'unixepoch') AS started
FROM (
  SELECT
    id, command, started_at, finished_at, outcome, cpu_ms,
    iif(json_valid(report), iif(json_type(report) = 'object', report, '{}'), '{}') AS report
  FROM runs
  WHERE started_at >= :since_ms AND (:command IS NULL OR command = :command)
)
ORDER BY started_at DESC, id DESC
LIMIT :limit;

-- name: life
SELECT
  position, connection_id, version, transition, source, target, occurred_at, run_id, job_id, data,
  hash, datetime(occurred_at / 1000, 'unixepoch') AS occurred
FROM outbox
WHERE connection_id = :connection_id AND version > :after
ORDER BY version
LIMIT :limit;
