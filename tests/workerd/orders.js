// What a test may ask of the cloud beside its API: a stage as new, and what the consumers noted.
const SCHEMA = [
  `CREATE TABLE deliveries (
     seq INTEGER PRIMARY KEY, queue TEXT, message_id TEXT, attempts INTEGER, body TEXT
   )`,
  `CREATE TABLE held (
     seq INTEGER PRIMARY KEY, queue TEXT, message_id TEXT UNIQUE, body TEXT, timestamp_ms INTEGER,
     attempts INTEGER DEFAULT 0, visible_at INTEGER DEFAULT 0, lease_id TEXT
   )`,
  "CREATE TABLE effects (seq INTEGER PRIMARY KEY, queue TEXT, job_id TEXT)",
  "CREATE INDEX deliveries_by_queue ON deliveries (queue, message_id)",
];
const TABLES = ["deliveries", "held", "effects"];
const DELIVERY_MS_MAX = 50_000; // Less than the test waits for its answer.

const ORDERS = { setup, clear, delivered, deliveries, effects };

export default {
  async fetch(request, env) {
    const order = ORDERS[new URL(request.url).pathname.slice(1)];
    return Response.json((await order(env, await request.json())) ?? null);
  },
};

async function setup({ RECORDS }) {
  await RECORDS.batch(SCHEMA.map((sql) => RECORDS.prepare(sql)));
}

// Leave nothing in a stage's database, and no notes on its queues.
async function clear(env, { database, queues }) {
  const db = env[`d1:${database}`];
  const { results } = await db.prepare(
    `SELECT type, name FROM sqlite_schema
     WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*'`,
  ).all();
  const drops = results.map(({ type, name }) => db.prepare(`DROP ${type} "${name}"`));
  await db.batch([db.prepare("PRAGMA defer_foreign_keys = ON"), ...drops]);
  const { RECORDS } = env;
  const sql = "WHERE queue IN (SELECT value FROM json_each(?1))";
  const rests = TABLES.map((table) => RECORDS.prepare(`DELETE FROM ${table} ${sql}`));
  await RECORDS.batch(rests.map((rest) => rest.bind(JSON.stringify(queues))));
}

// Return once that many messages of a queue were delivered.
async function delivered({ RECORDS }, { queue, messages }) {
  const sql = "SELECT count(DISTINCT message_id) AS count FROM deliveries WHERE queue = ?1";
  await reached(RECORDS.prepare(sql).bind(queue), messages);
}

async function deliveries({ RECORDS }, { queue, least = 0 }) {
  const sql = "SELECT count(*) AS count FROM deliveries WHERE queue = ?1";
  await reached(RECORDS.prepare(sql).bind(queue), least);
  const rows = RECORDS.prepare("SELECT * FROM deliveries WHERE queue = ?1 ORDER BY seq");
  return (await rows.bind(queue).all()).results;
}

async function reached(query, count) {
  const deadline = Date.now() + DELIVERY_MS_MAX;
  while ((await query.first("count")) < count) {
    if (Date.now() > deadline) throw new Error("the queue does not deliver");
    await scheduler.wait(5);
  }
}

async function effects({ RECORDS }, { queue }) {
  const rows = RECORDS.prepare("SELECT * FROM effects WHERE queue = ?1 ORDER BY seq");
  return (await rows.bind(queue).all()).results;
}
