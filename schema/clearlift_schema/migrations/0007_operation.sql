-- What the worker keeps beside the log: none of it is history, all of it may change.
-- All times are milliseconds since 1970, UTC.
CREATE TABLE IF NOT EXISTS runs (
  id          TEXT    PRIMARY KEY,                  -- UUID
  command     TEXT    NOT NULL,
  started_at  INTEGER NOT NULL,                     -- ms
  finished_at INTEGER,                              -- ms. NULL: still running, or killed
  outcome     TEXT,                                 -- 'done' | 'failed' | …: one word
  report      TEXT                                  -- JSON, what the command printed with --json
) STRICT;

CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started_at);

-- How fast each provider may be asked: clearlift_engine.pacing.Gate, one row each.
CREATE TABLE IF NOT EXISTS provider_gates (
  provider TEXT    PRIMARY KEY,                     -- platform
  version  INTEGER NOT NULL,                        -- lock: whoever moves the gate adds one
  moved_by TEXT    NOT NULL,                        -- who moved it last: runs.id, and which move
  gate     TEXT    NOT NULL                         -- JSON
) STRICT, WITHOUT ROWID;

-- Who may do what only one should at a time. A courtesy: correctness rests on `outbox`.
CREATE TABLE IF NOT EXISTS leases (
  name   TEXT    PRIMARY KEY,
  holder TEXT    NOT NULL,
  until  INTEGER NOT NULL                           -- ms
) STRICT, WITHOUT ROWID;

-- What an operator has set for one connection.
CREATE TABLE IF NOT EXISTS connection_settings (
  connection_id TEXT    PRIMARY KEY,                -- platform_connections.id
  sync_interval INTEGER NOT NULL CHECK (sync_interval > 0)  -- seconds
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS connection_settings_interval ON connection_settings (sync_interval);

-- The embedded queue: what Cloudflare Queues would hold.
CREATE TABLE IF NOT EXISTS queue_messages (
  job_id      TEXT    PRIMARY KEY,                  -- idempotency key
  body        TEXT    NOT NULL,                     -- JSON: sync_job_message.schema.json
  enqueued_at INTEGER NOT NULL,                     -- ms
  attempts    INTEGER NOT NULL DEFAULT 0,           -- deliveries so far
  visible_at  INTEGER NOT NULL,                     -- ms. Later than now: a consumer has it
  lease_id    TEXT,                                 -- of the newest delivery
  dead_at     INTEGER                               -- ms. NOT NULL: a dead letter
) STRICT;

CREATE INDEX IF NOT EXISTS queue_messages_ready ON queue_messages (visible_at, enqueued_at) WHERE dead_at IS NULL;
CREATE INDEX IF NOT EXISTS queue_messages_leased ON queue_messages (lease_id) WHERE lease_id IS NOT NULL;

-- Two indexes on tables of the API worker. GLOB keeps words like 'now' out, which no index may hold.
CREATE INDEX IF NOT EXISTS clearlift_connections_by_last_synced ON platform_connections (
  coalesce(unixepoch(iif(last_synced_at GLOB '[0-9][0-9][0-9][0-9]-[0-9]*', last_synced_at, NULL)), -1)
) WHERE is_active = 1;

CREATE INDEX IF NOT EXISTS clearlift_open_jobs ON sync_jobs (connection_id)
  WHERE status IN ('pending', 'running');
