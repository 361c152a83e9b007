/** Do the work of one job and return how many records that were. Yours to write. */
export async function sync(job, env) {
  // Read the connection's token from env.DB, ask job.platform for what happened in
  // job.sync_window, and store it. Work that is done twice must leave what work done once leaves:
  // a consumer that dies after this, before its last word to the database, is followed by another.
  throw new Error(`syncing ${job.platform} is not written yet`);
}
