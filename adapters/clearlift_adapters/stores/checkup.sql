-- What `doctor` reads beside what `status` does.

-- name: times
-- How the shared columns of time are written: by SQLite, by JavaScript, or so that nobody can read it. Of jobs
-- only the newest are looked at, for there may be very many.
SELECT
  place,
  sum(value GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] *') AS plain,
  sum(value GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T*') AS iso,
  sum(unreadable) AS unreadable,
  substr(CAST(min(iif(unreadable, id, NULL)) AS TEXT), 1, 256) AS example
FROM (
  SELECT
    place, value, id,
    unixepoch(iif(value GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', value, NULL)) IS NULL AS unreadable
  FROM (
    SELECT 'platform_connections.last_synced_at' AS place, id, last_synced_at AS value
    FROM platform_connections
    UNION ALL
    SELECT 'platform_connections.expires_at', id, expires_at FROM platform_connections
    UNION ALL
    SELECT 'sync_jobs.created_at', id, created_at
    FROM (SELECT id, created_at FROM sync_jobs ORDER BY rowid DESC LIMIT :limit)
    UNION ALL
    SELECT 'sync_jobs.started_at', id, started_at
    FROM (SELECT id, started_at FROM sync_jobs ORDER BY rowid DESC LIMIT :limit)
  )
  WHERE value IS NOT NULL
)
GROUP BY place
ORDER BY place;

-- name: claims
-- Whether anybody works on the newest jobs, and for how long they wait until somebody does.
SELECT
  count(*) AS jobs,
  sum(status IN ('running', 'completed', 'failed') OR started_at IS NOT NULL) AS claimed,
  avg(max(unixepoch(started_at) - unixepoch(created_at), 0)) AS wait_s
FROM (SELECT status, created_at, started_at FROM sync_jobs ORDER BY rowid DESC LIMIT :limit);
