// Takes jobs from the queue `sync-jobs` and has each of them one effect, however often it arrives.
//
// The queue delivers at least once: a message may come twice, at the same time too. So nothing is
// done before the job is claimed in the database, and whoever does not get it leaves it alone.
import { CLAIM_SECONDS, claim, fail, finish, release } from "./claims.js";
import { sync } from "./sync.js";

const ATTEMPTS_MAX = 4; // One, and max_retries of wrangler.toml.

export default {
  async queue(batch, env) {
    for (const message of batch.messages) await handle(message, env);
  },
};

async function handle(message, env) {
  const job = message.body;
  const claimed = await claim(env.DB, job.job_id);
  if (claimed === "finished") return message.ack();
  // Whoever has it may still die at it: look again when the claim has run out.
  if (claimed === "taken") return message.retry({ delaySeconds: CLAIM_SECONDS });
  try {
    await finish(env.DB, job, claimed.at, await sync(job, env));
    message.ack();
  } catch (error) {
    const giveUp = message.attempts >= ATTEMPTS_MAX;
    await (giveUp ? fail : release)(env.DB, job, claimed.at, error.message);
    message.retry();
  }
}
