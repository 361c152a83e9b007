-- The log in the order of its positions, and the seals over it. The log only grows, so whatever is read
-- of it up to one fixed position is as of one moment, in however many requests.

-- name: rows
SELECT
  position, connection_id, version, transition, source, target, occurred_at, run_id, job_id, data,
  hash
FROM outbox
WHERE position > :after AND position <= :last
ORDER BY position
LIMIT :limit;

-- name: last_position
SELECT coalesce(max(position), 0) AS position FROM outbox;

-- name: streams
-- The next ids in the log: one step through the index for each, however long the streams are.
WITH RECURSIVE known (connection_id) AS (
  SELECT * FROM (
    SELECT o.connection_id FROM outbox AS o
    WHERE o.connection_id >= coalesce(:after, '') AND o.connection_id IS NOT :after
    ORDER BY o.connection_id
    LIMIT 1
  )
  UNION ALL
  SELECT (
    SELECT o.connection_id FROM outbox AS o
    WHERE o.connection_id > known.connection_id
    ORDER BY o.connection_id
    LIMIT 1
  )
  FROM known
  WHERE known.connection_id IS NOT NULL
  LIMIT :limit
)
SELECT
  known.connection_id AS connection_id,
  (
    SELECT o.version FROM outbox AS o
    WHERE o.connection_id = known.connection_id AND o.position <= :last
    ORDER BY o.version DESC
    LIMIT 1
  ) AS version,
  (
    SELECT o.hash FROM outbox AS o
    WHERE o.connection_id = known.connection_id AND o.position <= :last
    ORDER BY o.version DESC
    LIMIT 1
  ) AS hash
FROM known
WHERE known.connection_id IS NOT NULL;

-- name: seals
SELECT number, sealed_at, position, seal FROM audit_seals
WHERE number > :after
ORDER BY number
LIMIT :limit;

-- name: last_seal
SELECT number, sealed_at, position, seal FROM audit_seals ORDER BY number DESC LIMIT 1;

-- name: highest_seal
-- The highest number ever given out, also if its seal is gone.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit_seals'), 0) AS number;

-- name: keep_seal
-- One that is sent again is there already.
INSERT INTO audit_seals (number, sealed_at, position, seal)
SELECT :number, :sealed_at, :position, :seal /* rows */
WHERE NOT EXISTS (SELECT 1 FROM audit_seals AS s WHERE s.number = :number AND s.seal = :seal);
