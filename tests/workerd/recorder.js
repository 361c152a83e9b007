// A consumer that notes every delivery in RECORDS, so that a test can count them. What arrives in a
// queue to be pulled from is also kept, until queues.js gives it away.
export default {
  async queue(batch, env) {
    if (env.PULLED.includes(batch.queue)) await keep(batch, env);
    await record(batch, env);
  },
};

export async function record(batch, { RECORDS }) {
  const insert = RECORDS.prepare(
    "INSERT INTO deliveries (queue, message_id, attempts, body) VALUES (?1, ?2, ?3, ?4)",
  );
  const rows = batch.messages.map(({ id, attempts, body }) =>
    insert.bind(batch.queue, id, attempts, JSON.stringify(body)),
  );
  await RECORDS.batch(rows);
}

async function keep(batch, { RECORDS }) {
  const insert = RECORDS.prepare(
    "INSERT INTO held (queue, message_id, body, timestamp_ms) VALUES (?1, ?2, ?3, ?4)",
  );
  const rows = batch.messages.map(({ id, body, timestamp }) =>
    insert.bind(batch.queue, id, JSON.stringify(body), timestamp.getTime()),
  );
  await RECORDS.batch(rows);
}
