-- Since when an operator has paused a connection, ms. NULL: nobody has, or it was resumed.
--
-- SQLite knows no ADD COLUMN IF NOT EXISTS. So this is all there is in this file, and
-- clearlift_adapters.migrations leaves the statement out where the column is there already.
ALTER TABLE connection_state ADD COLUMN paused_at INTEGER;
