-- INSERT OR REPLACE removes rows without firing the trigger for DELETE: see 0005.
CREATE TRIGGER IF NOT EXISTS audit_seals_refuse_replace BEFORE INSERT ON audit_seals
WHEN EXISTS (SELECT 1 FROM audit_seals WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only: seals are never replaced'); END;
