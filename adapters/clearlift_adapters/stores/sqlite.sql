-- What the store writes in one SQLite file, within one transaction, after `fits` of store.sql has said
-- yes to each commit. On D1 the statements of store.sql write the same, each with guards of its own.

-- name: enter
INSERT INTO outbox (
  connection_id, version, transition, source, target, occurred_at, run_id, job_id, data, hash
)
VALUES (
  :connection_id, :version, :transition, :source, :target, :occurred_at, :run_id, :job_id, :data,
  :hash
);

-- name: enter_job
INSERT INTO sync_jobs (id, organization_id, connection_id, job_type, created_at, metadata)
VALUES (:id, :organization_id, :connection_id, :job_type, :created_at, :metadata);

-- name: enter_message
INSERT INTO queue_messages (job_id, body, enqueued_at, visible_at)
VALUES (:job_id, :body, :enqueued_at, :enqueued_at)
ON CONFLICT (job_id) DO NOTHING;

-- name: stand
INSERT INTO connection_state (
  connection_id, state, version, hash, changed_at, job_id, lease_until, retry_at, failures,
  credentials, in_doubt, paused_at, position
)
VALUES (
  :connection_id, :state, :version, :hash, :changed_at, :job_id, :lease_until, :retry_at, :failures,
  :credentials, :in_doubt, :paused_at, :position
)
ON CONFLICT (connection_id) DO UPDATE SET
  state = excluded.state, version = excluded.version, hash = excluded.hash,
  changed_at = excluded.changed_at, job_id = excluded.job_id, lease_until = excluded.lease_until,
  retry_at = excluded.retry_at, failures = excluded.failures, credentials = excluded.credentials,
  in_doubt = excluded.in_doubt, paused_at = excluded.paused_at, position = excluded.position;
