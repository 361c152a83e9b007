// Stands in for the example's sync.js: notes that the work was done; fails if the account says so.
export async function sync(job, env) {
  await env.RECORDS.prepare("INSERT INTO effects (queue, job_id) VALUES (?1, ?2)")
    .bind(env.QUEUE, job.job_id)
    .run();
  if (job.account_id === "broken") throw new Error("the platform says no");
  return 7;
}
