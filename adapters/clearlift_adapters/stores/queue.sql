-- The embedded queue. Times are milliseconds since 1970, UTC.

-- name: depth
SELECT count(*) FILTER (WHERE dead_at IS NULL), min(enqueued_at) FILTER (WHERE dead_at IS NULL),
  count(*) FILTER (WHERE dead_at IS NOT NULL)
FROM queue_messages;

-- name: expire
-- Retention counts from when a message came; for a dead letter, from when it died.
DELETE FROM queue_messages WHERE coalesce(dead_at, enqueued_at) <= :before;

-- name: bury
-- Delivered as often as may be, and given back or forgotten each time.
UPDATE queue_messages SET dead_at = :now, lease_id = NULL
WHERE dead_at IS NULL AND visible_at <= :now AND attempts >= :attempts_max;

-- name: lease
UPDATE queue_messages
SET attempts = attempts + 1, visible_at = :until, lease_id = :lease_prefix || '/' || job_id
WHERE job_id IN (
  SELECT job_id FROM queue_messages
  WHERE dead_at IS NULL AND visible_at <= :now
  ORDER BY enqueued_at, rowid
  LIMIT :limit
);

-- name: leased
SELECT job_id, body, attempts, lease_id, enqueued_at FROM queue_messages
WHERE lease_id >= :lease_prefix || '/' AND lease_id < :lease_prefix || '0'  -- '0' comes after '/'
ORDER BY enqueued_at, rowid;

-- name: ack
DELETE FROM queue_messages WHERE lease_id = :lease_id AND dead_at IS NULL;

-- name: retry
UPDATE queue_messages SET visible_at = :visible_at, lease_id = NULL
WHERE lease_id = :lease_id AND dead_at IS NULL;

-- name: revive
-- As if it came now: it gets all its deliveries, and the whole time that the queue keeps a message.
UPDATE queue_messages
SET dead_at = NULL, lease_id = NULL, attempts = 0, enqueued_at = :now, visible_at = :visible_at
WHERE job_id = :job_id AND dead_at IS NOT NULL;

-- name: peek
SELECT job_id, body, attempts, enqueued_at FROM queue_messages
WHERE (dead_at IS NOT NULL) = :dead
ORDER BY enqueued_at, rowid
LIMIT :limit;
