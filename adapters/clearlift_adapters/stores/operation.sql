-- What the worker needs beside the log: credentials, runs, leases. Times are milliseconds since 1970.

-- name: all_refs
SELECT rowid AS ref FROM platform_connections WHERE rowid > :after ORDER BY rowid LIMIT :limit;

-- name: credentials
SELECT
  c.id, substr(c.credentials_encrypted, 1, 65536) AS access,
  substr(c.refresh_token_encrypted, 1, 65536) AS refresh
FROM json_each(:connection_ids) AS r
CROSS JOIN platform_connections AS c ON c.id = r.value;

-- name: sample
SELECT
  c.id, substr(c.credentials_encrypted, 1, 65536) AS access,
  substr(c.refresh_token_encrypted, 1, 65536) AS refresh
FROM platform_connections AS c
WHERE c.is_active = 1
  AND coalesce(c.credentials_encrypted, c.refresh_token_encrypted) IS NOT NULL
  AND coalesce(length(c.credentials_encrypted), 0) < 20000
ORDER BY c.rowid DESC  -- What was written last was written under the key of today.
LIMIT :limit;

-- name: begin_run
INSERT INTO runs (id, command, started_at) SELECT :id, :command, :started_at WHERE true
ON CONFLICT (id) DO NOTHING;

-- name: finish_run
UPDATE runs SET finished_at = :finished_at, outcome = :outcome, report = :report WHERE id = :id;

-- name: hold_lease
INSERT INTO leases (name, holder, until) SELECT :name, :holder, :until WHERE true
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until <= :now;
