-- What was told to people: see engine/clearlift_engine/notices.py. Times are ms.

-- name: told_alerts
SELECT subject FROM notices WHERE kind = 'alert' ORDER BY subject;

-- name: untold_grants
SELECT s.connection_id, substr(CAST(c.platform AS TEXT), 1, 64) AS platform, coalesce(s.credentials, '') AS about
FROM connection_state AS s
JOIN platform_connections AS c ON c.id = s.connection_id
WHERE s.state = 'failed' AND s.retry_at IS NULL AND s.paused_at IS NULL AND c.is_active = 1
  AND NOT EXISTS (
    SELECT 1 FROM notices AS n
    WHERE n.kind = 'dead_grant' AND n.subject = s.connection_id AND n.about = coalesce(s.credentials, '')
  )
ORDER BY s.connection_id
LIMIT :limit;

-- name: note
INSERT INTO notices (kind, subject, about, told_at) SELECT :kind, :subject, :about, :told_at WHERE true
ON CONFLICT (kind, subject) DO UPDATE SET about = excluded.about, told_at = excluded.told_at;

-- name: forget
DELETE FROM notices WHERE kind = :kind AND subject = :subject;
