// `POST …/d1/database/:id/query`: SQL for a D1 binding.
//
// A batch is one transaction here, as it is on every workerd; the documentation of the REST API
// does not promise it. front.mjs can ask for the first statements of a batch only, which is what is
// left of one that was cut short.
import { bodyOf, Refusal } from "./answers.js";
import { statementsOf } from "./statements.js";

const VALUE_BYTES_MAX = 2_000_000; // workerd's own limit is twice that.
const SEVERAL = "When executing multiple SQL statements in a single call"; // workerd's words.
const MALFORMED = new Refusal(400, 7400, "The request is malformed: expected sql or batch");
const TABLES = "SELECT count(*) AS num_tables FROM sqlite_schema WHERE type = 'table'";

export async function query({ request, binding }) {
  const body = await bodyOf(request, MALFORMED);
  const first = request.headers.get("X-Commit-Statements");
  try {
    return await committed(prepared(body, binding), binding, first);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw refused(error.cause?.message ?? error.message);
  }
}

export async function describe({ id, binding }) {
  const { results, meta } = await binding.prepare(TABLES).all();
  const { num_tables } = results[0];
  const file_size = meta.size_after;
  return { uuid: id, name: "clearlift", version: "production", num_tables, file_size };
}

function prepared(body, binding) {
  const queries = body?.batch ?? [body];
  if (!Array.isArray(queries)) throw MALFORMED;
  const statements = queries.flatMap((each) => bound(each, binding));
  if (statements.length === 0) throw refused("No SQL statements detected.");
  return statements;
}

function bound(query, binding) {
  const { sql, params = [] } = query ?? {};
  if (typeof sql !== "string" || !Array.isArray(params)) throw MALFORMED;
  const statements = statementsOf(sql).map((text) => binding.prepare(text));
  if (params.length === 0) return statements;
  if (statements.length > 1) {
    throw refused(`${SEVERAL}, only the last statement can have parameters.`);
  }
  if (params.some(isTooBig)) throw refused("string or blob too big: SQLITE_TOOBIG");
  return statements.map((statement) => statement.bind(...params));
}

function isTooBig(value) {
  return typeof value === "string" && new TextEncoder().encode(value).length > VALUE_BYTES_MAX;
}

async function committed(statements, binding, first) {
  if (first === null) return await binding.batch(statements);
  if (first !== "0") await binding.batch(statements.slice(0, Number(first)));
  throw new Refusal(500, 7500, "internal error; reference = e_0");
}

function refused(message) {
  return new Refusal(400, 7500, message, []);
}
