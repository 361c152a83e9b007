-- What the worker needs beside the log: credentials, runs, leases. Times are milliseconds since 1970.

-- name: all_refs
SELECT rowid AS ref FROM platform_connections WHERE rowid > :after ORDER BY rowid LIMIT :limit;

-- name: credentials
-- With all that tells whether a ciphertext is in its place: where else it stands, and what is sealed of those
-- that begin like it. More than a few of these are nobody's but a forger's.
SELECT
  c.id, substr(c.credentials_encrypted, 1, 65536) AS access,
  substr(c.refresh_token_encrypted, 1, 65536) AS refresh,
  k.ciphertexts, k.known_as,
  EXISTS (
    SELECT 1 FROM platform_connections AS o
    WHERE o.credentials_encrypted IS NOT NULL
      AND substr(o.credentials_encrypted, 1, 16) = substr(c.credentials_encrypted, 1, 16)
      AND o.credentials_encrypted = c.credentials_encrypted
      AND o.rowid <> c.rowid
  ) OR EXISTS (
    SELECT 1 FROM platform_connections AS o
    WHERE o.refresh_token_encrypted IS NOT NULL
      AND substr(o.refresh_token_encrypted, 1, 16) = substr(c.credentials_encrypted, 1, 16)
      AND o.refresh_token_encrypted = c.credentials_encrypted
  ) AS access_copied,
  EXISTS (
    SELECT 1 FROM platform_connections AS o
    WHERE o.refresh_token_encrypted IS NOT NULL
      AND substr(o.refresh_token_encrypted, 1, 16) = substr(c.refresh_token_encrypted, 1, 16)
      AND o.refresh_token_encrypted = c.refresh_token_encrypted
      AND o.rowid <> c.rowid
  ) OR EXISTS (
    SELECT 1 FROM platform_connections AS o
    WHERE o.credentials_encrypted IS NOT NULL
      AND substr(o.credentials_encrypted, 1, 16) = substr(c.refresh_token_encrypted, 1, 16)
      AND o.credentials_encrypted = c.refresh_token_encrypted
  ) AS refresh_copied,
  (
    SELECT json_group_array(json_array(connection_id, place, seal))
    FROM (
      SELECT a.connection_id, 'credentials_encrypted' AS place, a.access_seal AS seal
      FROM credential_seals AS a
      WHERE a.access_iv IS NOT NULL
        AND a.access_iv IN (substr(c.credentials_encrypted, 1, 16), substr(c.refresh_token_encrypted, 1, 16))
      UNION ALL
      SELECT b.connection_id, 'refresh_token_encrypted', b.refresh_seal
      FROM credential_seals AS b
      WHERE b.refresh_iv IS NOT NULL
        AND b.refresh_iv IN (substr(c.credentials_encrypted, 1, 16), substr(c.refresh_token_encrypted, 1, 16))
      LIMIT 20
    )
  ) AS seals
FROM json_each(:connection_ids) AS r
CROSS JOIN platform_connections AS c ON c.id = r.value
LEFT JOIN credential_seals AS k ON k.connection_id = c.id;

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
UPDATE runs SET
  finished_at = :finished_at, outcome = :outcome, report = :report, cpu_ms = :cpu_ms
WHERE id = :id;

-- name: hold_lease
INSERT INTO leases (name, holder, until) SELECT :name, :holder, :until WHERE true
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE leases.holder = excluded.holder OR leases.until <= :now;
