// Who works on a job: the claim, and the three ways in which it ends.
//
// `started_at` is the claim's name. A claim that has run out may be taken by another consumer, and
// then nothing that the first one still writes finds its row.

// Longer than a consumer may run: developers.cloudflare.com/queues/platform/limits.
export const CLAIM_SECONDS = 15 * 60;

const CLAIM = `
  UPDATE sync_jobs
  SET status = 'running', started_at = ?2
  WHERE id = ?1
    AND (status = 'pending' OR status = 'running' AND unixepoch(started_at) <= unixepoch(?2) - ?3)
  RETURNING id`;

const STATUS = "SELECT status FROM sync_jobs WHERE id = ?1";

const DONE = `EXISTS (
    SELECT 1 FROM sync_jobs WHERE id = ?1 AND status = 'completed' AND started_at = ?2
  )`;

const MINE = "id = ?1 AND status = 'running' AND started_at = ?2";

const RELEASE = `UPDATE sync_jobs SET status = 'pending', started_at = NULL WHERE ${MINE}`;

const FAIL = `
  UPDATE sync_jobs SET status = 'failed', completed_at = ?3, error_message = ?4 WHERE ${MINE}`;

const FINISH = `
  UPDATE sync_jobs SET status = 'completed', completed_at = ?3, records_synced = ?4 WHERE ${MINE}`;

// The next window begins where this one ended.
const SYNCED = `
  UPDATE platform_connections
  SET last_synced_at = ?3, sync_status = 'completed', sync_error = NULL
  WHERE id = ?4 AND ${DONE}`;

const ONBOARDED = `
  UPDATE onboarding_progress
  SET first_sync_completed = TRUE, updated_at = ?3
  WHERE organization_id = ?4 AND NOT first_sync_completed AND ${DONE}`;

/** Return `{ at }` if the job is now ours, "taken" if another consumer has it, else "finished". */
export async function claim(db, id) {
  const at = now();
  const { results } = await db.prepare(CLAIM).bind(id, at, CLAIM_SECONDS).all();
  if (results.length > 0) return { at };
  const status = await db.prepare(STATUS).bind(id).first("status");
  return status === "running" ? "taken" : "finished";
}

/** Record that the work is done: the job, its connection and the onboarding, all or none. */
export async function finish(db, job, at, records) {
  await db.batch([
    db.prepare(FINISH).bind(job.job_id, at, now(), records),
    db.prepare(SYNCED).bind(job.job_id, at, job.sync_window.end, job.connection_id),
    db.prepare(ONBOARDED).bind(job.job_id, at, now(), job.organization_id),
  ]);
}

/** Give the job back, to be tried again. */
export async function release(db, job, at) {
  await db.prepare(RELEASE).bind(job.job_id, at).run();
}

/** Give the job up; the cron worker makes a new one when the connection is due again. */
export async function fail(db, job, at, reason) {
  await db.prepare(FAIL).bind(job.job_id, at, now(), reason).run();
}

function now() {
  return new Date().toISOString();
}
