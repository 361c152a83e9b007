-- Seals: what was signed about the log, by a key that is not in this database. The same lines are kept
-- elsewhere too (`audit seal --out`), for here they can be removed along with the rows that they seal.
CREATE TABLE IF NOT EXISTS audit_seals (
  number    INTEGER PRIMARY KEY AUTOINCREMENT CHECK (number >= 1),  -- 1, 2, 3 … without a gap
  sealed_at INTEGER NOT NULL,                                       -- ms since 1970, UTC
  position  INTEGER NOT NULL,                                       -- outbox.position of the last row sealed
  seal      TEXT    NOT NULL                                        -- JSON: clearlift_engine.seals
) STRICT;
