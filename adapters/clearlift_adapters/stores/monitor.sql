-- What status, metrics and reports read; see engine/clearlift_engine/overview.py. Times are ms.
-- Each of these looks at every connection once at the most, and never at the whole log. SQLite sorts what
-- it groups, and may do so in memory: where that is much, it is grouped ten thousand rows at a time.

-- name: crowds
WITH RECURSIVE pages(low) AS (
  SELECT min(rowid) FROM platform_connections
  UNION ALL
  SELECT (SELECT min(rowid) FROM platform_connections WHERE rowid >= p.low + 10000)
  FROM pages AS p
  WHERE p.low IS NOT NULL
)
SELECT
  alike.value ->> 0 AS platform, alike.value ->> 1 AS state, alike.value ->> 2 AS active,
  alike.value ->> 3 AS needs_reconnect, sum(alike.value ->> 4) AS connections,
  sum(alike.value ->> 5) AS expired, sum(alike.value ->> 6) AS expiring,
  sum(alike.value ->> 7) AS stuck
FROM pages AS p
CROSS JOIN json_each(
  (
    SELECT json_group_array(
      json_array(platform, state, active, needs_reconnect, connections, expired, expiring, stuck)
    )
    FROM (
      SELECT
        substr(CAST(c.platform AS TEXT), 1, 64) AS platform,
        s.state,
        c.is_active = 1 AS active,
        s.state = 'failed' AND s.retry_at IS NULL AS needs_reconnect,
        count(*) AS connections,
        sum(c.expires_at IS NOT NULL AND c.expires_ms < :now_ms) AS expired,
        sum(c.expires_ms >= :now_ms AND c.expires_ms < :expires_before_ms) AS expiring,
        sum(
          CASE
            WHEN c.sync_status IS NOT 'syncing' OR c.synced_ms > :job_horizon_ms THEN 0
            WHEN coalesce(s.changed_at, 0) <= :job_horizon_ms THEN 1
            ELSE coalesce(  -- What an operator says is no sign of life.
              (
                SELECT e.occurred_at FROM outbox AS e
                WHERE e.connection_id = c.id AND e.version <= s.version
                  AND e.transition NOT IN ('paused', 'resumed', 'retry_requested')
                ORDER BY e.version DESC
                LIMIT 1
              ),
              0
            ) <= :job_horizon_ms
          END
        ) AS stuck
      FROM (
        SELECT
          id, platform, is_active, sync_status, expires_at,
          coalesce(unixepoch(iif(expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', expires_at, NULL)), 0) * 1000 AS expires_ms,
          unixepoch(iif(last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', last_synced_at, NULL)) * 1000 AS synced_ms
        FROM platform_connections
        WHERE rowid >= p.low AND rowid < p.low + 10000
      ) AS c
      LEFT JOIN connection_state AS s ON s.connection_id = c.id
      GROUP BY 1, 2, 3, 4
    )
  )
) AS alike
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

-- name: position_at
-- The last row that is not later than a moment. Times grow with positions, but for what clocks differ,
-- so it is searched by halves.
WITH RECURSIVE search(low, high) AS (
  SELECT 0, coalesce((SELECT max(position) FROM outbox), 0)
  UNION ALL
  SELECT
    iif(o.occurred_at <= :at_ms, o.position, s.low),
    iif(o.occurred_at <= :at_ms, s.high, o.position - 1)
  FROM search AS s
  JOIN outbox AS o ON o.position = (s.low + s.high + 1) / 2
  WHERE s.low < s.high
)
SELECT low AS position FROM search WHERE low = high;

-- name: crowds_at
-- A stream that has not moved since is where its projection is; of another, its row of then is looked up.
-- Each page ends before the next begins, the last one at the first blob, which is behind all texts.
WITH RECURSIVE pages(low, high) AS (
  SELECT '', (SELECT connection_id FROM connection_state ORDER BY connection_id LIMIT 1 OFFSET 10000)
  UNION ALL
  SELECT
    p.high,
    (
      SELECT connection_id FROM connection_state WHERE connection_id >= p.high
      ORDER BY connection_id LIMIT 1 OFFSET 10000
    )
  FROM pages AS p
  WHERE p.high IS NOT NULL
)
SELECT
  alike.value ->> 0 AS platform, alike.value ->> 1 AS state, sum(alike.value ->> 2) AS connections
FROM pages AS p
CROSS JOIN json_each(
  (
    SELECT json_group_array(json_array(platform, state, connections))
    FROM (
      SELECT
        substr(CAST(coalesce(c.platform, '') AS TEXT), 1, 64) AS platform,
        iif(
          s.position <= :position, s.state,
          (
            SELECT o.target FROM outbox AS o
            WHERE o.connection_id = s.connection_id AND o.position <= :position
            ORDER BY o.version DESC LIMIT 1
          )
        ) AS state,
        count(*) AS connections
      FROM connection_state AS s
      LEFT JOIN platform_connections AS c ON c.id = s.connection_id
      WHERE s.connection_id >= p.low AND s.connection_id < coalesce(p.high, x'')
      GROUP BY 1, 2
    )
  )
) AS alike
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: flows
-- Of the log's end only, by position: a day of a large installation, not its years.
WITH RECURSIVE pages(low) AS (
  SELECT max(:after, (SELECT max(position) FROM outbox) - :limit)
  UNION ALL
  SELECT p.low + 10000 FROM pages AS p WHERE p.low + 10000 < (SELECT max(position) FROM outbox)
)
SELECT
  alike.value ->> 0 AS source, alike.value ->> 1 AS transition, alike.value ->> 2 AS target,
  sum(alike.value ->> 3) AS events, min(alike.value ->> 4) AS first_at
FROM pages AS p
CROSS JOIN json_each(
  (
    SELECT json_group_array(json_array(source, transition, target, events, first_at))
    FROM (
      SELECT source, transition, target, count(*) AS events, min(occurred_at) AS first_at
      FROM outbox
      WHERE position > p.low AND position <= p.low + 10000
      GROUP BY 1, 2, 3
    )
  )
) AS alike
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- name: audits
-- Beside max(), SQLite takes the other columns from the row that has it.
SELECT
  command, max(started_at) AS started_at, outcome,
  iif(json_valid(report), report ->> '$.events', NULL) AS events,
  iif(json_valid(report), report ->> '$.violations', NULL) AS violations
FROM runs
WHERE started_at >= :since_ms AND command IN ('replay', 'audit verify') AND outcome IS NOT NULL
GROUP BY command
ORDER BY command;

-- name: backlog
-- When a job was made is what its own row says: an operator may have had a word since.
SELECT
  count(*) AS jobs,
  min(
    (
      SELECT o.occurred_at FROM outbox AS o
      WHERE o.connection_id = s.connection_id AND o.version <= s.version
        AND o.transition = 'job_created'
      ORDER BY o.version DESC
      LIMIT 1
    )
  ) AS oldest_at
FROM connection_state AS s
WHERE s.state = 'job_created';

-- name: runs
SELECT
  id, command, started_at, finished_at, outcome,
  coalesce(report ->> '$.due', 0), coalesce(report ->> '$.refreshed', 0),
  coalesce(report ->> '$.jobs_created', 0), coalesce(report ->> '$.failed', 0),
  coalesce(report ->> '$.deferred', 0), coalesce(report ->> '$.delivered', 0),
  coalesce(report ->> '$.duration_ms', finished_at - started_at), cpu_ms, report ->> '$.error'
FROM (
  SELECT
    id, command, started_at, finished_at, outcome, cpu_ms,
    iif(json_valid(report), report, '{}') AS report
  FROM runs
  WHERE started_at >= :since_ms AND started_at <= :until_ms
  ORDER BY started_at DESC, id DESC
  LIMIT :limit
);

-- name: gates
SELECT provider, version, gate FROM provider_gates ORDER BY provider;

-- name: worst
-- Why one failed is in its newest failure, not in its newest row: an operator may have had a word since.
SELECT
  s.connection_id, substr(CAST(c.platform AS TEXT), 1, 64) AS platform,
  substr(CAST(c.account_name AS TEXT), 1, 256) AS account_name,
  s.failures, o.occurred_at, s.retry_at, o.data
FROM (
  SELECT connection_id, failures, changed_at, retry_at FROM connection_state
  WHERE state = 'failed'
  ORDER BY failures DESC, changed_at, connection_id
  LIMIT :limit
) AS s
JOIN outbox AS o ON o.position = (
  SELECT f.position FROM outbox AS f
  WHERE f.connection_id = s.connection_id AND f.transition = 'sync_failed'
  ORDER BY f.version DESC LIMIT 1
)
LEFT JOIN platform_connections AS c ON c.id = s.connection_id
ORDER BY s.failures DESC, s.changed_at, s.connection_id;
