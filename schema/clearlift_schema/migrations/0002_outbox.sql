-- The log, and what is folded from it.
--
-- `outbox` is the source of truth. One row is one transition of one connection; no row is ever changed
-- or removed. UNIQUE (connection_id, version) is the one lock of the whole program: two workers that
-- decide about the same connection both want version n + 1, and one of them finds it taken.
--
-- `connection_state` is the fold of the log and nothing else. It can be dropped and rebuilt from
-- `outbox`, to the same bytes. All times are milliseconds since 1970, UTC.
--
-- IF NOT EXISTS everywhere: D1 does not promise that a file is applied whole, so it may come again.
CREATE TABLE IF NOT EXISTS outbox (
  position      INTEGER PRIMARY KEY AUTOINCREMENT,  -- total order, 1, 2, 3 … without a gap
  connection_id TEXT    NOT NULL,                   -- platform_connections.id; outlives the connection
  version       INTEGER NOT NULL CHECK (version >= 1),  -- 1, 2, 3 … within the connection
  transition    TEXT    NOT NULL,                   -- no CHECK: the words grow, a CHECK cannot
  source        TEXT    CHECK (source IN ('due', 'refreshing', 'job_created', 'enqueued', 'failed')),
  target        TEXT    NOT NULL
                CHECK (target IN ('due', 'refreshing', 'job_created', 'enqueued', 'failed')),
  occurred_at   INTEGER NOT NULL,                   -- ms
  run_id        TEXT    NOT NULL,                   -- runs.id
  job_id        TEXT,                               -- sync_jobs.id
  data          TEXT    NOT NULL,                   -- JSON: clearlift_engine.events
  hash          TEXT    NOT NULL,                   -- chain: clearlift_engine.stream
  UNIQUE (connection_id, version),
  CHECK ((version = 1) = (source IS NULL))
) STRICT;

CREATE TRIGGER IF NOT EXISTS outbox_refuses_update BEFORE UPDATE ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never changed'); END;

CREATE TRIGGER IF NOT EXISTS outbox_refuses_delete BEFORE DELETE ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never removed'); END;

-- INSERT OR REPLACE removes rows without firing the trigger above, unless the database connection has
-- recursive_triggers on. Not everybody's has.
CREATE TRIGGER IF NOT EXISTS outbox_refuses_replace BEFORE INSERT ON outbox
WHEN EXISTS (SELECT 1 FROM outbox WHERE position = NEW.position)
  OR EXISTS (SELECT 1 FROM outbox WHERE connection_id = NEW.connection_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never replaced'); END;

CREATE TABLE IF NOT EXISTS connection_state (
  connection_id TEXT    PRIMARY KEY,                -- platform_connections.id
  state         TEXT    NOT NULL
                CHECK (state IN ('due', 'refreshing', 'job_created', 'enqueued', 'failed')),
  version       INTEGER NOT NULL,                   -- of the newest event
  hash          TEXT    NOT NULL,                   -- of the newest event
  changed_at    INTEGER NOT NULL,                   -- its occurred_at, ms
  job_id        TEXT,                               -- of the newest cycle
  lease_until   INTEGER,                            -- while refreshing, ms
  retry_at      INTEGER,                            -- while failed, ms; NULL: needs reconnect
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
