-- The store's queries, right on SQLite and on D1 alike. Times are milliseconds since 1970, but for
-- names ending in _s. A shared DATETIME column is read through GLOB, so that words ('now') and bare
-- numbers are no times, and through julianday(), which knows milliseconds.

-- name: due
-- `:synced_before_s` is the schedule's interval ago. Connections with a shorter interval of their own come
-- from an arm of `overdue` that is theirs, so that one of them does not make the others longer.
--
-- As a rule few are overdue, and each is looked up. If more than `:few` may be, then most of them are in
-- flight, or wait because they failed, and to look each of those up costs microseconds: so the ids of those
-- that may be overdue, of those in flight and of those that wait are merged instead, each in the order of an
-- index that holds all it takes (`+` keeps the index by time out of it). What is left is looked up. `among`
-- is where each of the merged lists begins: before every text, or, so that it is never read, behind all.
WITH many AS MATERIALIZED (
  SELECT iif(count(*) > :few, '', x'') AS among
  FROM (
    SELECT * FROM (
      SELECT 1 FROM platform_connections AS c
      WHERE c.is_active = 1 AND coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) <= :synced_before_s
      LIMIT :few + 1
    )
    UNION ALL
    SELECT * FROM (
      SELECT 1 FROM connection_settings AS o WHERE o.sync_interval < :interval_s LIMIT :few + 1
    )
  )
),
idle AS (
  SELECT c.id AS id FROM platform_connections AS c
  WHERE c.is_active = 1 AND +coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) <= :synced_before_s
    AND c.id >= (SELECT among FROM many)
  UNION
  SELECT active.id FROM (
    SELECT o.connection_id AS id FROM connection_settings AS o
    WHERE +o.sync_interval < :interval_s AND o.connection_id >= (SELECT among FROM many)
    INTERSECT
    SELECT c.id FROM platform_connections AS c
    WHERE c.is_active = 1 AND c.id >= (SELECT among FROM many)
    ORDER BY 1
  ) AS active
  EXCEPT
  SELECT j.connection_id FROM sync_jobs AS j
  WHERE j.status IN ('pending', 'running')
    AND max(coalesce(unixepoch(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)), 0), coalesce(unixepoch(iif(j.started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.started_at, NULL)), 0)) > :job_horizon_s
    AND j.connection_id >= (SELECT among FROM many)
  EXCEPT
  SELECT s.connection_id FROM connection_state AS s
  WHERE s.state IN ('failed', 'refreshing')
    AND CASE s.state
      WHEN 'failed' THEN s.retry_at IS NULL OR s.retry_at BETWEEN :now_ms + 1 AND :now_ms + 43200000
      ELSE s.lease_until BETWEEN :now_ms + 1 AND :now_ms + 3600000
    END
    AND s.connection_id >= (SELECT among FROM many)
  ORDER BY 1
),
overdue AS (
  SELECT
    c.rowid AS ref, c.id, c.organization_id, c.platform, c.sync_status, c.expires_at,
    coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) AS synced_s
  FROM platform_connections AS c
  LEFT JOIN connection_settings AS o ON o.connection_id = c.id
  WHERE c.is_active = 1
    AND coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) <= :synced_before_s
    AND (
      o.sync_interval IS NULL
      OR (o.sync_interval >= :interval_s AND synced_s + iif(synced_s < 0, 0, o.sync_interval) <= :now_s)
    )
    AND (SELECT among FROM many) = x''
  UNION ALL
  SELECT
    c.rowid, c.id, c.organization_id, c.platform, c.sync_status, c.expires_at,
    coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) AS synced_s
  FROM connection_settings AS o
  CROSS JOIN platform_connections AS c ON c.id = o.connection_id
  WHERE o.sync_interval < :interval_s
    AND c.is_active = 1
    AND synced_s + iif(synced_s < 0, 0, o.sync_interval) <= :now_s
    AND (SELECT among FROM many) = x''
  UNION ALL
  SELECT
    c.rowid, c.id, c.organization_id, c.platform, c.sync_status, c.expires_at,
    coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) AS synced_s
  FROM idle
  CROSS JOIN platform_connections AS c ON c.id = idle.id
  LEFT JOIN connection_settings AS o ON o.connection_id = c.id
  WHERE c.is_active = 1
    AND synced_s + iif(synced_s < 0, 0, coalesce(o.sync_interval, :interval_s)) <= :now_s
),
servable AS (
  SELECT
    c.ref, c.organization_id, c.platform, c.synced_s,
    CAST(round((julianday(iif(c.expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.expires_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS expires_ms,
    c.expires_at IS NOT NULL AS expires
  FROM overdue AS c
  LEFT JOIN connection_state AS s ON s.connection_id = c.id
  WHERE s.paused_at IS NULL
    AND (
      s.state IS NULL
      OR s.state IN ('due', 'enqueued')
      -- What lies further ahead than it can was set by a clock that was wrong: policy.py.
      OR (s.state = 'refreshing' AND (s.lease_until <= :now_ms OR s.lease_until > :now_ms + 3600000))
      OR (s.state = 'failed' AND (s.retry_at <= :now_ms OR s.retry_at > :now_ms + 43200000))
    )
    AND (
      c.sync_status IS NOT 'syncing'
      OR EXISTS (  -- Then its age decides, just below.
        SELECT 1 FROM sync_jobs AS j
        WHERE j.connection_id = c.id AND j.status IN ('pending', 'running')
      )
      -- What an operator says is no sign of life.
      OR (
        c.synced_s * 1000 <= :job_horizon_ms
        AND (
          coalesce(s.changed_at, 0) <= :job_horizon_ms
          OR coalesce(
            (
              SELECT e.occurred_at FROM outbox AS e
              WHERE e.connection_id = c.id AND e.version <= s.version
                AND e.transition NOT IN ('paused', 'resumed', 'retry_requested')
              ORDER BY e.version DESC
              LIMIT 1
            ),
            0
          ) <= :job_horizon_ms
        )
      )
    )
    AND NOT EXISTS (
      SELECT 1 FROM sync_jobs AS j
      WHERE j.connection_id = c.id
        AND j.status IN ('pending', 'running')
        AND max(coalesce(unixepoch(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)), 0), coalesce(unixepoch(iif(j.started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.started_at, NULL)), 0)) > :job_horizon_s
    )
),
ordered AS (
  SELECT
    ref, platform, synced_s,
    expires AND coalesce(expires_ms, 0) < :refresh_before_ms AS expiring,
    coalesce(expires_ms, 0) AS expires_ms,
    organization_id
  FROM servable
)
SELECT ref, iif(expiring, platform, NULL) AS expiring, turn, expires_ms
FROM (
  SELECT
    ref, platform, expiring, synced_s, expires_ms,
    row_number() OVER (
      PARTITION BY organization_id, iif(expiring, platform, NULL)
      ORDER BY iif(expiring, expires_ms, synced_s), ref
    ) AS turn
  FROM ordered
  WHERE NOT expiring OR platform NOT IN (SELECT value FROM json_each(:without))
)
ORDER BY turn, synced_s, ref
LIMIT :limit;

-- name: future
-- Synced in the future, by more than clocks differ: not due, but somebody should be told.
SELECT c.rowid AS ref FROM platform_connections AS c
WHERE c.is_active = 1
  AND coalesce(unixepoch(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)), -1) > :now_s + 60
LIMIT :limit;

-- name: dead
-- Connections that wait for their user, a page at a time; the fingerprints are compared in the adapter.
SELECT
  s.connection_id, c.rowid AS ref, c.platform, s.credentials,
  substr(c.credentials_encrypted, 1, 65536) AS access,
  substr(c.refresh_token_encrypted, 1, 65536) AS refresh, k.ciphertexts, k.known_as,
  c.expires_at IS NOT NULL AND coalesce(
    CAST(round((julianday(iif(c.expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.expires_at, NULL)) - 2440587.5) * 86400000) AS INTEGER), 0
  ) < :refresh_before_ms AS expiring
FROM connection_state AS s
JOIN platform_connections AS c ON c.id = s.connection_id
LEFT JOIN credential_seals AS k ON k.connection_id = s.connection_id
WHERE s.state = 'failed' AND s.retry_at IS NULL AND s.connection_id > :after AND c.is_active = 1
  AND s.paused_at IS NULL
ORDER BY s.connection_id
LIMIT :limit;

-- name: candidates
-- One row per open job, and one where there is none.
SELECT
  c.rowid AS ref, c.id AS connection_id, c.organization_id, c.platform, c.account_id,
  c.is_active = 1 AS is_active, c.sync_status,
  CAST(round((julianday(iif(c.last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.last_synced_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS last_synced_at,
  c.last_synced_at IS NOT NULL AS has_last_synced,
  CAST(round((julianday(iif(c.expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.expires_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS expires_at,
  c.expires_at IS NOT NULL AS has_expiry,
  CAST(round((julianday(iif(c.connected_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', c.connected_at, NULL)) - 2440587.5) * 86400000) AS INTEGER) AS connected_at,
  o.sync_interval * 1000 AS interval_ms,
  j.id AS open_job_id,
  max(coalesce(unixepoch(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)), 0), coalesce(unixepoch(iif(j.started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.started_at, NULL)), 0)) * 1000 AS open_job_since,
  iif(s.state = 'failed' AND s.retry_at IS NULL, substr(c.credentials_encrypted, 1, 65536), NULL) AS access,
  iif(s.state = 'failed' AND s.retry_at IS NULL, substr(c.refresh_token_encrypted, 1, 65536), NULL) AS refresh,
  iif(s.state = 'failed' AND s.retry_at IS NULL, (SELECT k.ciphertexts FROM credential_seals AS k WHERE k.connection_id = c.id), NULL) AS reencrypted,
  iif(s.state = 'failed' AND s.retry_at IS NULL, (SELECT k.known_as FROM credential_seals AS k WHERE k.connection_id = c.id), NULL) AS known_as,
  s.state, s.version, s.hash, s.changed_at, s.job_id, s.lease_until, s.retry_at, s.failures,
  s.credentials, s.in_doubt, s.paused_at,
  c.scopes IS NOT NULL AND NOT json_valid(c.scopes) AS scopes_odd,
  iif(
    c.sync_status = 'syncing',
    coalesce(
      (
        SELECT e.occurred_at FROM outbox AS e
        WHERE e.connection_id = c.id AND e.version <= s.version
          AND e.transition NOT IN ('paused', 'resumed', 'retry_requested')
        ORDER BY e.version DESC
        LIMIT 1
      ),
      0
    ),
    NULL
  ) AS moved_at
FROM json_each(:refs) AS r
CROSS JOIN platform_connections AS c ON c.rowid = r.value AND typeof(c.id) = 'text'
LEFT JOIN connection_state AS s ON s.connection_id = c.id
LEFT JOIN connection_settings AS o ON o.connection_id = c.id
LEFT JOIN sync_jobs AS j ON j.connection_id = c.id AND j.status IN ('pending', 'running')
ORDER BY r.key;

-- name: refs
SELECT c.rowid AS ref FROM json_each(:connection_ids) AS r
CROSS JOIN platform_connections AS c ON c.id = r.value;

-- name: waiting
SELECT
  s.connection_id, s.state, s.version, s.hash, s.changed_at, s.job_id, s.lease_until, s.retry_at,
  s.failures, s.credentials, s.in_doubt, s.paused_at,
  coalesce(  -- Not the row at s.position: an operator may have had a word since.
    (
      SELECT o.data FROM outbox AS o
      WHERE o.connection_id = s.connection_id AND o.version <= s.version
        AND o.transition = 'job_created'
      ORDER BY o.version DESC
      LIMIT 1
    ),
    ''
  ) AS data
FROM connection_state AS s
WHERE s.state = 'job_created'
ORDER BY s.position
LIMIT :limit;

-- name: gate
SELECT provider, version, gate FROM provider_gates WHERE provider = :provider;

-- name: move_gate
-- A move that is sent again after a lost answer finds its own, and counts as made.
INSERT INTO provider_gates (provider, version, moved_by, gate)
SELECT :provider, :version, :moved_by, :gate
/* rows */
WHERE coalesce((SELECT version FROM provider_gates WHERE provider = :provider), 0) = :version - 1
  OR EXISTS (
    SELECT 1 FROM provider_gates AS g
    WHERE g.provider = :provider AND g.version = :version AND g.moved_by = :moved_by
  )
ON CONFLICT (provider) DO UPDATE SET version = excluded.version, moved_by = excluded.moved_by, gate = excluded.gate;

-- What follows writes one batch of commits, in this order, as one transaction: on SQLite the tokens and
-- the status, the rest is in sqlite.sql; on D1 all of it, each statement once, over a JSON array of rows,
-- which takes the place of /* rows */. D1 does not promise that its batch is whole, so the order and the guards are
-- such that whatever prefix of it was done does no harm and is completed when it is sent again:
-- tokens first, for they exist nowhere else; then the log, all rows of a commit or none; then what the
-- log explains; the projection last, for only then does anybody go on from there.

-- name: store_tokens
-- Only over the credentials that were sent: if the user has reconnected meanwhile, theirs are newer.
-- They were read as far as here, so they are compared as far.
UPDATE platform_connections SET
  credentials_encrypted = :access,
  refresh_token_encrypted = coalesce(:refresh, refresh_token_encrypted),
  expires_at = :expires_at
/* rows */
WHERE platform_connections.id = :connection_id
  AND substr(credentials_encrypted, 1, 65536) IS :old_access
  AND substr(refresh_token_encrypted, 1, 65536) IS :old_refresh
  AND (SELECT s.hash FROM connection_state AS s WHERE s.connection_id = :connection_id) IS :seen_hash;

-- name: seal_tokens
-- Only where they are stored by now; its iv tells the new access token from every other.
INSERT INTO credential_seals (connection_id, access_iv, access_seal, refresh_iv, refresh_seal)
SELECT :connection_id, :access_iv, :access_seal, :refresh_iv, :refresh_seal
/* rows */
WHERE EXISTS (
    SELECT 1 FROM platform_connections AS c
    WHERE c.id = :connection_id AND substr(c.credentials_encrypted, 1, 16) = :access_iv
  )
ON CONFLICT (connection_id) DO UPDATE SET
  access_iv = excluded.access_iv, access_seal = excluded.access_seal,
  refresh_iv = excluded.refresh_iv, refresh_seal = excluded.refresh_seal,
  ciphertexts = NULL, known_as = NULL;

-- name: {guards}
-- Whether a commit `r` still holds: asked by `fits` once, where nobody writes in between, and else by each row.
(SELECT s.hash FROM connection_state AS s WHERE s.connection_id = r.connection_id) IS r.seen_hash
  AND NOT EXISTS (
    SELECT 1 FROM outbox AS o WHERE o.connection_id = r.connection_id AND o.version = r.version
  )
  AND (
    r.gate IS NULL
    OR EXISTS (
      SELECT 1 FROM provider_gates AS g
      WHERE g.provider = r.gate AND g.version = r.gate_version AND g.moved_by = r.moved_by
    )
  )
  AND (  -- New tokens are stored by now, or else nothing may say that they are.
    r.access IS NULL
    OR EXISTS (
      SELECT 1 FROM platform_connections AS c
      WHERE c.id = r.connection_id AND c.credentials_encrypted = r.access
    )
  )
  AND (
    r.open_since_s IS NULL
    OR (
      EXISTS (SELECT 1 FROM platform_connections AS c WHERE c.id = r.connection_id AND c.is_active = 1)
      AND NOT EXISTS (
        SELECT 1 FROM sync_jobs AS j
        WHERE j.connection_id = r.connection_id
          AND j.status IN ('pending', 'running')
          AND max(coalesce(unixepoch(iif(j.created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.created_at, NULL)), 0), coalesce(unixepoch(iif(j.started_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', j.started_at, NULL)), 0)) > r.open_since_s
      )
    )
  )

-- name: fits
-- Which of some commits still hold, by their numbers.
WITH r (at, connection_id, version, seen_hash, open_since_s, gate, gate_version, moved_by, access) AS (
VALUES (:at, :connection_id, :version, :seen_hash, :open_since_s, :gate, :gate_version, :moved_by, :access)
)
SELECT r.at FROM r WHERE {guards};

-- name: append_entry
-- All rows of one commit carry the same guards, so that all of them go in, or none.
INSERT INTO outbox (
  connection_id, version, transition, source, target, occurred_at, run_id, job_id, data, hash
)
WITH r (
  connection_id, version, transition, source, target, occurred_at, run_id, job_id, data, hash,
  seen_hash, open_since_s, gate, gate_version, moved_by, access
) AS (
  SELECT
    :connection_id, :version, :transition, :source, :target, :occurred_at, :run_id, :job_id, :data,
    :hash, :seen_hash, :open_since_s, :gate, :gate_version, :moved_by, :access
  /* rows */
)
SELECT
  r.connection_id, r.version, r.transition, r.source, r.target, r.occurred_at, r.run_id, r.job_id,
  r.data, r.hash
FROM r
WHERE {guards};

-- name: insert_job
-- A commit that is sent again after a lost answer finds its own row, and leaves it.
INSERT INTO sync_jobs (id, organization_id, connection_id, job_type, created_at, metadata)
SELECT :id, :organization_id, :connection_id, :job_type, :created_at, :metadata
/* rows */
WHERE EXISTS (
    SELECT 1 FROM outbox AS o
    WHERE o.connection_id = :connection_id AND o.version = :version AND o.hash = :hash
  )
  AND NOT EXISTS (
    SELECT 1 FROM sync_jobs AS j WHERE j.id = :id AND j.connection_id = :connection_id
  );

-- name: mark_failed
UPDATE platform_connections SET sync_status = 'failed', sync_error = :sync_error
/* rows */
WHERE platform_connections.id = :connection_id
  AND EXISTS (
    SELECT 1 FROM outbox AS o
    WHERE o.connection_id = :connection_id AND o.version = :version AND o.hash = :hash
  );

-- name: clear_failed
-- Only what this worker wrote: the consumer has failures of its own.
UPDATE platform_connections SET sync_status = 'pending', sync_error = NULL
/* rows */
WHERE platform_connections.id = :connection_id
  AND sync_status = 'failed'
  AND (sync_error GLOB 'Token refresh failed: *' OR sync_error GLOB 'Job could not be queued: *')
  AND EXISTS (
    SELECT 1 FROM outbox AS o
    WHERE o.connection_id = :connection_id AND o.version = :version AND o.hash = :hash
  );

-- name: enqueue
INSERT INTO queue_messages (job_id, body, enqueued_at, visible_at)
SELECT :job_id, :body, :enqueued_at, :enqueued_at
/* rows */
WHERE EXISTS (
    SELECT 1 FROM outbox AS o
    WHERE o.connection_id = :connection_id AND o.version = :version AND o.hash = :hash
  )
ON CONFLICT (job_id) DO NOTHING;

-- name: project
INSERT INTO connection_state (
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
)
SELECT
  :connection_id, :state, :version, :hash, :changed_at, :job_id, :lease_until, :retry_at, :failures,
  :credentials, :in_doubt, :paused_at, o.position
FROM /* rows, */ outbox AS o
WHERE o.connection_id = :connection_id AND o.version = :version AND o.hash = :hash
ON CONFLICT (connection_id) DO UPDATE SET
  state = excluded.state, version = excluded.version, hash = excluded.hash,
  changed_at = excluded.changed_at, job_id = excluded.job_id, lease_until = excluded.lease_until,
  retry_at = excluded.retry_at, failures = excluded.failures, credentials = excluded.credentials,
  in_doubt = excluded.in_doubt, paused_at = excluded.paused_at, position = excluded.position
WHERE excluded.version > connection_state.version;

-- name: ahead
-- Rows of the log that the projection does not know: what a batch that was done in part left behind.
SELECT
  o.position AS position, o.connection_id AS connection_id, o.version AS version,
  o.transition AS transition, o.source AS source, o.target AS target,
  o.occurred_at AS occurred_at, o.run_id AS run_id, o.job_id AS job_id, o.data AS data,
  o.hash AS hash
FROM json_each(:connection_ids) AS r
LEFT JOIN connection_state AS s ON s.connection_id = r.value
CROSS JOIN outbox AS o ON o.connection_id = r.value AND o.version > coalesce(s.version, 0)
ORDER BY o.connection_id, o.version;

-- name: behind
-- Streams whose job is there and whose projection does not know it: of what a batch done in part has
-- left behind, the one thing that nobody would come across, because their job is open.
SELECT DISTINCT j.connection_id AS connection_id
FROM sync_jobs AS j
LEFT JOIN connection_state AS s ON s.connection_id = j.connection_id
WHERE j.status IN ('pending', 'running')
  AND EXISTS (
    SELECT 1 FROM outbox AS o
    WHERE o.connection_id = j.connection_id AND o.version = coalesce(s.version, 0) + 1
  )
LIMIT :limit;

-- name: behind_of
-- Which of these connections have rows of the log that their projection does not know.
SELECT c.id AS connection_id FROM json_each(:refs) AS r
CROSS JOIN platform_connections AS c ON c.rowid = r.value
LEFT JOIN connection_state AS s ON s.connection_id = c.id
WHERE EXISTS (
  SELECT 1 FROM outbox AS o
  WHERE o.connection_id = c.id AND o.version = coalesce(s.version, 0) + 1
);

-- name: streams
SELECT
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at
FROM json_each(:connection_ids) AS r
CROSS JOIN connection_state AS s ON s.connection_id = r.value;

-- name: at
-- Which of these streams are where they were seen: [[connection_id, hash], …].
SELECT s.connection_id
FROM json_each(:rows) AS r
CROSS JOIN connection_state AS s ON s.connection_id = r.value ->> 0 AND s.hash = r.value ->> 1;

-- name: written
-- Which of these rows are in the log: [[connection_id, version, hash], …].
SELECT o.connection_id
FROM json_each(:rows) AS r
CROSS JOIN outbox AS o
  ON o.connection_id = r.value ->> 0 AND o.version = r.value ->> 1 AND o.hash = r.value ->> 2;
