-- The log is append-only: no row is ever changed.
CREATE TRIGGER IF NOT EXISTS outbox_refuses_update BEFORE UPDATE ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never changed'); END;
