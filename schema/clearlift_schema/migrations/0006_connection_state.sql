-- The fold of the log, and nothing else: it can be dropped and rebuilt from `outbox`, to the same bytes.
-- All times are milliseconds since 1970, UTC.
CREATE TABLE IF NOT EXISTS connection_state (
  connection_id TEXT    PRIMARY KEY,                -- platform_connections.id
  state         TEXT    NOT NULL
                CHECK (state IN ('due', 'refreshing', 'job_created', 'enqueued', 'failed')),
  version       INTEGER NOT NULL,                   -- of the newest event
  hash          TEXT    NOT NULL,                   -- of the newest event
  changed_at    INTEGER NOT NULL,                   -- its occurred_at, ms
  job_id        TEXT,                               -- of the newest cycle
  lease_until   INTEGER,                            -- while refreshing, ms
  retry_at      INTEGER,                            -- while failed, ms. NULL: needs reconnect
  failures      INTEGER NOT NULL,                   -- since the last job
  credentials   TEXT,                               -- fingerprint last sent, or known to be dead
  in_doubt      INTEGER NOT NULL,                   -- requests with them whose answer nobody saw
  position      INTEGER NOT NULL                    -- of the newest event
) STRICT, WITHOUT ROWID;

-- What waits for the relay, in the order of the log.
CREATE INDEX IF NOT EXISTS connection_state_waiting ON connection_state (position) WHERE state = 'job_created';

-- What a dead worker left behind, and what waits for the user.
CREATE INDEX IF NOT EXISTS connection_state_refreshing ON connection_state (lease_until) WHERE state = 'refreshing';
CREATE INDEX IF NOT EXISTS connection_state_dead ON connection_state (connection_id)
  WHERE state = 'failed' AND retry_at IS NULL;
