-- The log.
--
-- `outbox` is the source of truth. One row is one transition of one connection. No row is ever changed
-- or removed. UNIQUE (connection_id, version) is the one lock of the whole program: two workers that
-- decide about the same connection both want version n + 1, and one of them finds it taken.
--
-- All times are milliseconds since 1970, UTC. IF NOT EXISTS in every file: D1 does not promise that a
-- file is applied whole, so it may come again. Each trigger has a file of its own, for what splits a
-- file into statements on the way to D1 has been seen to stumble over one among others.
CREATE TABLE IF NOT EXISTS outbox (
  position      INTEGER PRIMARY KEY AUTOINCREMENT   -- total order, 1, 2, 3 … without a gap
                CHECK (position >= 1),
  connection_id TEXT    NOT NULL,                   -- platform_connections.id, also of one that is gone
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
