// `…/queues/:id`: messages for a queue binding, and the queue's consumers over HTTP.
//
// The local queue knows Workers as consumers only, so a queue to be pulled from is consumed by
// recorder.js, which keeps its messages in RECORDS; from there they are leased here.
import { bodyOf, Refusal } from "./answers.js";

const BATCH_MAX = 100;
const BATCH_BYTES_MAX = 256_000;
const MESSAGE_BYTES_MAX = 128_000;
const METADATA_BYTES = 100; // Of each message, and counted: the documentation's "up to ~100 bytes".
const DELAY_S_MAX = 86_400;
const VISIBILITY_MS = 30_000;
const MALFORMED = new Refusal(400, 10208, "Request body is not valid JSON");
const UNEXPECTED = new Refusal(400, 10207, "Request JSON body does not match expected schema");

export async function push({ request, env, id, binding }) {
  const { messages, delay_seconds } = await bodyOf(request, MALFORMED);
  if (!Array.isArray(messages)) throw UNEXPECTED;
  if (messages.length === 0 || messages.length > BATCH_MAX) {
    throw new Refusal(400, 10206, "Batch count out of bounds");
  }
  const batch = messages.map(outgoing);
  const sizes = batch.map(sizeOf);
  if (sizes.some((size) => size > MESSAGE_BYTES_MAX)) {
    throw new Refusal(400, 10204, "Message size out of bounds");
  }
  if (sizes.reduce((sum, size) => sum + size) > BATCH_BYTES_MAX) {
    throw new Refusal(400, 10205, "Batch size out of bounds");
  }
  await binding.sendBatch(batch, delayed(delay_seconds));
  return { metadata: { metrics: await metrics({ env, id, binding }) } };
}

export async function metrics({ env, id, binding }) {
  const { backlogCount, backlogBytes, oldestMessageTimestamp } = await binding.metrics();
  const held = await env.RECORDS.prepare(
    `SELECT count(*) AS messages, coalesce(sum(length(CAST(body AS BLOB))), 0) AS bytes,
       min(timestamp_ms) AS oldest
     FROM held WHERE queue = ?1`,
  ).bind(id).first();
  const oldest = [held.oldest, oldestMessageTimestamp?.getTime()].filter(Boolean);
  return {
    backlog_count: backlogCount + held.messages,
    backlog_bytes: backlogBytes + held.bytes,
    oldest_message_timestamp_ms: oldest.length > 0 ? Math.min(...oldest) : 0,
  };
}

export async function pull({ request, env, id }) {
  const body = await bodyOf(request, MALFORMED);
  const { batch_size = 5, visibility_timeout_ms = VISIBILITY_MS } = body;
  const { results } = await env.RECORDS.prepare(
    `UPDATE held
     SET lease_id = hex(randomblob(16)), visible_at = ?2 + ?3, attempts = attempts + 1
     WHERE message_id IN (
       SELECT message_id FROM held WHERE queue = ?1 AND visible_at <= ?2 ORDER BY seq LIMIT ?4
     )
     RETURNING *`,
  ).bind(id, Date.now(), visibility_timeout_ms, batch_size).all();
  const messages = results.sort((one, other) => one.seq - other.seq).map(pulled);
  return { message_backlog_count: await backlog(env, id), messages };
}

export async function acknowledge({ request, env, id }) {
  const { acks = [], retries = [] } = await bodyOf(request, MALFORMED);
  const remove = env.RECORDS.prepare("DELETE FROM held WHERE queue = ?1 AND lease_id = ?2");
  const giveBack = env.RECORDS.prepare(
    "UPDATE held SET lease_id = NULL, visible_at = ?3 WHERE queue = ?1 AND lease_id = ?2",
  );
  const later = ({ delay_seconds = 0 }) => Date.now() + delay_seconds * 1000;
  return {
    ackCount: await changes(env, acks.map((each) => remove.bind(id, each.lease_id))),
    retryCount: await changes(
      env,
      retries.map((each) => giveBack.bind(id, each.lease_id, later(each))),
    ),
    warnings: [],
  };
}

export async function describe({ id }) {
  return { queue_id: id, queue_name: "sync-jobs", settings: { delivery_paused: false } };
}

function outgoing({ body, content_type = "text", delay_seconds }) {
  if (!["text", "json"].includes(content_type)) {
    throw new Refusal(400, 10203, "Invalid message metadata");
  }
  return { body, contentType: content_type, ...delayed(delay_seconds) };
}

function sizeOf({ body, contentType }) {
  const text = contentType === "json" ? JSON.stringify(body) : body;
  if (typeof text !== "string") throw UNEXPECTED;
  return new TextEncoder().encode(text).length + METADATA_BYTES;
}

function delayed(seconds) {
  if (seconds === undefined) return {};
  if (!(seconds >= 0 && seconds <= DELAY_S_MAX)) {
    throw new Refusal(400, 10203, "Invalid message metadata");
  }
  return { delaySeconds: seconds };
}

// JSON arrives in base64, as bytes do; its type is in the metadata.
function pulled({ message_id, body, timestamp_ms, attempts, lease_id }) {
  const bytes = new TextEncoder().encode(body);
  const metadata = { "CF-Content-Type": "json" };
  return { id: message_id, body: bytes.toBase64(), timestamp_ms, attempts, lease_id, metadata };
}

async function backlog(env, id) {
  const query = env.RECORDS.prepare("SELECT count(*) AS messages FROM held WHERE queue = ?1");
  return await query.bind(id).first("messages");
}

async function changes(env, statements) {
  if (statements.length === 0) return 0;
  const outcomes = await env.RECORDS.batch(statements);
  return outcomes.reduce((sum, { meta }) => sum + meta.changes, 0);
}
