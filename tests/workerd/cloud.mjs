// What runs in workerd: the Worker that speaks Cloudflare's REST API, and the queues' consumers.
//
// A stage is what one test gets: a D1 database and three queues, one for each way to be consumed.
//
//   recorded  a Worker notes every delivery and acknowledges it
//   pulled    deliveries wait until they are pulled and acknowledged over HTTP
//   consumed  examples/consumer-worker runs, on the stage's database; its work is noted
import { readFileSync } from "node:fs";
import { Log, LogLevel } from "miniflare";

export const ACCOUNT = "acc0".padEnd(32, "0");
export const TOKENS = { token: "all", d1_token: "d1-only", queues_token: "queues-only" };

const RECORDS = "records"; // The database of what the consumers note.
const COMPATIBILITY_DATE = "2026-01-01";
const RETRIES = 3;
const EXAMPLE = "../../examples/consumer-worker/src/";

export const STAGES = Array.from({ length: 8 }, (_, number) => ({
  account: ACCOUNT,
  database: `d1d1d1d1-0000-4000-8000-${String(number).padStart(12, "0")}`,
  recorded: `aaaa${number}`.padEnd(32, "0"),
  pulled: `bbbb${number}`.padEnd(32, "0"),
  consumed: `cccc${number}`.padEnd(32, "0"),
}));

export const QUEUES = ["recorded", "pulled", "consumed"];

export function cloud() {
  return {
    host: "127.0.0.1",
    port: 0,
    cf: false, // Do not ask the internet where this machine is.
    log: new Log(LogLevel.ERROR),
    logRequests: false,
    workers: [rest(), orders(), recorder(), ...STAGES.map(consumer)],
  };
}

function rest() {
  const env = { ACCOUNT: text(ACCOUNT), TOKENS: json(permissions()), ...databases() };
  for (const stage of STAGES) {
    for (const kind of QUEUES) env[`queue:${stage[kind]}`] = { type: "queue", name: stage[kind] };
  }
  const files = ["rest.js", "d1.js", "queues.js", "statements.js", "answers.js"];
  return worker("rest", { env, manifest: manifest(files.map((file) => source(file))) });
}

// What each token may do, in the words of Cloudflare's permissions.
function permissions() {
  return {
    [TOKENS.token]: ["d1", "queues"],
    [TOKENS.d1_token]: ["d1"],
    [TOKENS.queues_token]: ["queues"],
  };
}

function orders() {
  return worker("orders", { env: databases(), manifest: manifest([source("orders.js")]) });
}

function databases() {
  const env = { RECORDS: d1(RECORDS) };
  for (const { database } of STAGES) env[`d1:${database}`] = d1(database);
  return env;
}

function recorder() {
  const pulled = STAGES.map((stage) => stage.pulled);
  const queues = STAGES.flatMap((stage) => [stage.recorded, stage.pulled]);
  return worker("recorder", {
    env: { RECORDS: d1(RECORDS), PULLED: json(pulled) },
    triggers: queues.map((queue) => trigger(queue, 100)),
    manifest: manifest([source("recorder.js")]),
  });
}

// The example as it is published, but for the part that its reader is asked to replace.
function consumer(stage, number) {
  const files = ["index.js", "claims.js"];
  const example = files.map((file) => source(EXAMPLE + file, `example/${file}`));
  return worker(`consumer-${number}`, {
    env: { DB: d1(stage.database), RECORDS: d1(RECORDS), QUEUE: text(stage.consumed) },
    triggers: [trigger(stage.consumed, 10)],
    manifest: manifest([
      source("consumer.js"),
      source("recorder.js"),
      ...example,
      source("sync.js", "example/sync.js"),
    ]),
  });
}

function worker(name, config) {
  return { config: { name, compatibilityDate: COMPATIBILITY_DATE, ...config } };
}

function manifest(sources) {
  return { mainModule: sources[0][0], modules: Object.fromEntries(sources) };
}

function source(file, name = file) {
  return [name, { type: "esm", contents: readFileSync(new URL(file, import.meta.url), "utf8") }];
}

function trigger(name, maxBatchSize) {
  return { type: "queue", name, maxBatchSize, maxBatchTimeout: 0, maxRetries: RETRIES };
}

const d1 = (id) => ({ type: "d1", id });
const text = (value) => ({ type: "text", value });
const json = (value) => ({ type: "json", value });
