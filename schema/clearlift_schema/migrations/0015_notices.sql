-- What receivers (Slack) were told, so that no process tells it again. It can be emptied: all that is so
-- then is told once more.
CREATE TABLE IF NOT EXISTS notices (
  kind    TEXT    NOT NULL CHECK (kind IN ('alert', 'dead_grant')),
  subject TEXT    NOT NULL,                         -- name of the alert, or connection_state.connection_id
  about   TEXT    NOT NULL,                         -- which grant: connection_state.credentials. '' of an alert
  told_at INTEGER NOT NULL,                         -- ms since 1970, UTC
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
