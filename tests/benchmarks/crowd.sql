-- Of any number of connections the same number is due; the rest are alike: a third in flight, a third failed
-- (half of them wait for a retry, half for their user), a third inactive. A fifth has an interval of its
-- own, shorter or longer than the schedule's. Ids are in no order of the table.
CREATE TEMP TABLE crowd AS
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :size)
SELECT
  i, 'org-' || (i % 100) || '-google-' || i AS id, 'org-' || (i % 100) AS org,
  CASE WHEN i % (:size / :due) = 0 THEN 'due'
    ELSE json_extract('["flight","flight","retry","dead","inactive","inactive"]', '$[' || (i % 6) || ']')
  END AS kind,
  hex(randomblob(8)) || ':' || hex(randomblob(48)) || ':' || hex(randomblob(11)) || '==' AS access
FROM n;
INSERT INTO organizations (id) SELECT DISTINCT org FROM crowd;
INSERT INTO platform_connections (
  id, organization_id, platform, account_id, connected_by, last_synced_at, is_active,
  credentials_encrypted, scopes, sync_status
)
SELECT
  id, org, 'google', i, 'u',
  iif(kind = 'due' OR i % 7 = 0, NULL, strftime('%Y-%m-%dT%H:%M:%SZ', 1791633600 - 20000 - i % 80000, 'unixepoch')),
  kind <> 'inactive', access, '[]', iif(kind IN ('retry', 'dead'), 'failed', 'pending')
FROM crowd;
INSERT INTO connection_settings SELECT id, 900 * (1 + i % 8) FROM crowd WHERE i % 5 = 0;
INSERT INTO connection_state (
  connection_id, state, version, hash, changed_at, job_id, retry_at, failures, credentials, in_doubt, position
)
SELECT
  id, iif(kind = 'flight', 'enqueued', 'failed'), 1, 'h', 1791630000000, iif(kind = 'flight', 'job-' || i, NULL),
  iif(kind = 'retry', 1791644400000, NULL), kind <> 'flight', iif(kind = 'dead', fingerprint(id, access), NULL), 0, i + 1
FROM crowd WHERE kind IN ('flight', 'retry', 'dead');
INSERT INTO sync_jobs (id, organization_id, connection_id, status, created_at)
SELECT 'job-' || i, org, id, 'pending', '2026-10-10T11:00:00.000Z' FROM crowd WHERE kind = 'flight';
DROP TABLE crowd
