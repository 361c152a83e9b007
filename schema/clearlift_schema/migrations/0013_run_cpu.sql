-- CPU time that a run took, user and system, ms. NULL: it was not measured, or the run has not ended.
--
-- A file of its own, as 0012 is, and for the same reason.
ALTER TABLE runs ADD COLUMN cpu_ms INTEGER;
