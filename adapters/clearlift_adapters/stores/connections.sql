-- What `clearlift-cron connections` reads and writes, in the place of the API worker.

-- name: add_organization
-- On the embedded default nobody else makes one.
INSERT INTO organizations (id, name) SELECT :organization_id, :organization_id WHERE true
ON CONFLICT (id) DO NOTHING;

-- name: reconnect
-- sync_status stays: it says how the last sync went, and the next job puts it right.
UPDATE platform_connections SET
  account_name = coalesce(:account_name, account_name),
  connected_by = :connected_by,
  connected_at = :connected_at,
  is_active = 1,
  credentials_encrypted = :access,
  refresh_token_encrypted = :refresh,
  expires_at = :expires_at,
  scopes = coalesce(:scopes, scopes)
WHERE organization_id = :organization_id AND platform = :platform AND account_id = :account_id;

-- name: add
INSERT INTO platform_connections (
  id, organization_id, platform, account_id, account_name, connected_by, connected_at, sync_status,
  is_active, credentials_encrypted, refresh_token_encrypted, expires_at, scopes
)
SELECT
  :id, :organization_id, :platform, :account_id, :account_name, :connected_by, :connected_at,
  'pending', 1, :access, :refresh, :expires_at, :scopes
WHERE NOT EXISTS (
  SELECT 1 FROM platform_connections AS c
  WHERE c.organization_id = :organization_id
    AND c.platform = :platform
    AND c.account_id = :account_id
);

-- name: held
-- What a reconnect may take away.
SELECT refresh_token_encrypted IS NOT NULL, expires_at IS NOT NULL FROM platform_connections
WHERE organization_id = :organization_id AND platform = :platform AND account_id = :account_id;

-- name: identify
SELECT id FROM platform_connections
WHERE organization_id = :organization_id AND platform = :platform AND account_id = :account_id;

-- name: page
-- Texts may be megabytes: what is longer than anybody reads is cut.
SELECT
  c.rowid, c.id, c.organization_id, c.platform, c.account_id, substr(c.account_name, 1, 1000),
  substr(c.connected_by, 1, 1000), c.connected_at, c.last_synced_at, c.sync_status,
  substr(c.sync_error, 1, 1000), c.is_active, c.expires_at, substr(c.scopes, 1, 1000),
  c.credentials_encrypted IS NOT NULL, c.refresh_token_encrypted IS NOT NULL, o.sync_interval,
  s.state, s.version, s.changed_at, s.job_id, s.retry_at, s.failures
FROM platform_connections AS c
LEFT JOIN connection_settings AS o ON o.connection_id = c.id
LEFT JOIN connection_state AS s ON s.connection_id = c.id
WHERE c.id > :after
ORDER BY c.id
LIMIT :limit;

-- name: show
SELECT
  c.rowid, c.id, c.organization_id, c.platform, c.account_id, substr(c.account_name, 1, 1000),
  substr(c.connected_by, 1, 1000), c.connected_at, c.last_synced_at, c.sync_status,
  substr(c.sync_error, 1, 1000), c.is_active, c.expires_at, substr(c.scopes, 1, 1000),
  c.credentials_encrypted IS NOT NULL, c.refresh_token_encrypted IS NOT NULL, o.sync_interval,
  s.state, s.version, s.changed_at, s.job_id, s.retry_at, s.failures
FROM platform_connections AS c
LEFT JOIN connection_settings AS o ON o.connection_id = c.id
LEFT JOIN connection_state AS s ON s.connection_id = c.id
WHERE c.id = :id;

-- name: set_interval
INSERT INTO connection_settings (connection_id, sync_interval)
SELECT c.id, :interval_s FROM platform_connections AS c WHERE c.id = :id
ON CONFLICT (connection_id) DO UPDATE SET sync_interval = excluded.sync_interval;

-- name: unset_interval
DELETE FROM connection_settings WHERE connection_id = :id;
