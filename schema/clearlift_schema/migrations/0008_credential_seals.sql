-- What this worker last knew of the ciphertexts of a connection. The format of the encrypted columns does not say
-- whose they are, so that ciphertexts of two rows, swapped, would decrypt in silence. A seal does: HMAC-SHA-256
-- under a key derived from ENCRYPTION_KEY, over connection, column and ciphertext. Nobody without
-- the key can make one. Whoever writes the database can delete one.
CREATE TABLE IF NOT EXISTS credential_seals (
  connection_id TEXT PRIMARY KEY,                   -- platform_connections.id
  access_iv     TEXT,                               -- how credentials_encrypted begins, 16 characters: its iv
  access_seal   TEXT,                               -- hex
  refresh_iv    TEXT,                               -- likewise of refresh_token_encrypted
  refresh_seal  TEXT,                               -- hex
  -- Encrypting anew gives other ciphertexts for the same credentials. These two say so, for the log
  -- knows them by the fingerprint of the old ones.
  ciphertexts   TEXT,                               -- fingerprint of the pair as `keys rotate` wrote it
  known_as      TEXT                                -- fingerprint of the pair that it replaced
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS credential_seals_access ON credential_seals (access_iv) WHERE access_iv IS NOT NULL;
CREATE INDEX IF NOT EXISTS credential_seals_refresh ON credential_seals (refresh_iv) WHERE refresh_iv IS NOT NULL;

-- Two indexes on a table of the API worker: a copy of a ciphertext has its iv, which is never used twice.
CREATE INDEX IF NOT EXISTS clearlift_access_by_iv ON platform_connections (substr(credentials_encrypted, 1, 16))
  WHERE credentials_encrypted IS NOT NULL;
CREATE INDEX IF NOT EXISTS clearlift_refresh_by_iv ON platform_connections (substr(refresh_token_encrypted, 1, 16))
  WHERE refresh_token_encrypted IS NOT NULL;
