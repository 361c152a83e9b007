-- What `clearlift-cron keys` reads and writes: the encrypted columns of every connection, due or not.

-- name: ids
-- An id that is no text is one that nothing else here can take either.
SELECT id FROM platform_connections
WHERE id > :after AND typeof(id) = 'text'
ORDER BY id
LIMIT :limit;

-- name: rename
-- Before the ciphertexts change: if nothing more than this is done, it says something of a pair that
-- is nowhere. If it were done after them, a grant known to be dead could look like a new one.
INSERT INTO credential_seals (
  connection_id, access_iv, access_seal, refresh_iv, refresh_seal, ciphertexts, known_as
)
SELECT
  :connection_id, :access_iv, :access_seal, :refresh_iv, :refresh_seal, :ciphertexts, :known_as
/* rows */
WHERE EXISTS (
    SELECT 1 FROM platform_connections AS c
    WHERE c.id = :connection_id
      AND substr(c.credentials_encrypted, 1, 65536) IS :old_access
      AND substr(c.refresh_token_encrypted, 1, 65536) IS :old_refresh
  )
ON CONFLICT (connection_id) DO UPDATE SET
  access_iv = excluded.access_iv, access_seal = excluded.access_seal,
  refresh_iv = excluded.refresh_iv, refresh_seal = excluded.refresh_seal,
  ciphertexts = excluded.ciphertexts, known_as = excluded.known_as;

-- name: reencrypt
-- Only over what was read: a tick or the API worker may have been here first, and theirs is newer.
UPDATE platform_connections SET
  credentials_encrypted = coalesce(:access, credentials_encrypted),
  refresh_token_encrypted = coalesce(:refresh, refresh_token_encrypted)
/* rows */
WHERE platform_connections.id = :connection_id
  AND substr(credentials_encrypted, 1, 65536) IS :old_access
  AND substr(refresh_token_encrypted, 1, 65536) IS :old_refresh;
