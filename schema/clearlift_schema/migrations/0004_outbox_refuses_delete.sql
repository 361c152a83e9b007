-- The log is append-only: no row is ever removed.
CREATE TRIGGER IF NOT EXISTS outbox_refuses_delete BEFORE DELETE ON outbox
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never removed'); END;
