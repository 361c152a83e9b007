-- A seal once written is never changed.
CREATE TRIGGER IF NOT EXISTS audit_seals_refuse_update BEFORE UPDATE ON audit_seals
BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only: seals are never changed'); END;
