-- Which connections failed, and when: for those who ask who fails again and again. Failures are few
-- among the rows of the log, so this is small, and a row that is none costs nothing.
CREATE INDEX IF NOT EXISTS outbox_failures ON outbox (connection_id, occurred_at) WHERE transition = 'sync_failed';
