-- INSERT OR REPLACE removes rows without firing the trigger for DELETE, unless the database connection has
-- recursive_triggers on. Not every program has.
CREATE TRIGGER IF NOT EXISTS outbox_refuses_replace BEFORE INSERT ON outbox
WHEN EXISTS (SELECT 1 FROM outbox WHERE position = NEW.position)
  OR EXISTS (SELECT 1 FROM outbox WHERE connection_id = NEW.connection_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'outbox is append-only: rows are never replaced'); END;
