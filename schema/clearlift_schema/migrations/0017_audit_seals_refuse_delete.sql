-- A seal once written is never removed.
CREATE TRIGGER IF NOT EXISTS audit_seals_refuse_delete BEFORE DELETE ON audit_seals
BEGIN SELECT RAISE(ABORT, 'audit_seals is append-only: seals are never removed'); END;
