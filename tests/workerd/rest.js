// Cloudflare's REST API before a real D1 and real Queues: paths, tokens, envelopes and errors.
//
// It does what it is asked and never fails on purpose: faults are front.mjs's. Whatever SQL does,
// and the limits on it, are workerd's own; d1.js adds what the real service refuses besides.
import { done, Refusal } from "./answers.js";
import * as d1 from "./d1.js";
import * as queues from "./queues.js";

const PATH = /^\/client\/v4\/accounts\/([^/]+)\/(d1\/database|queues)\/([^/]+)(?:\/(.+))?$/;

const ROUTES = {
  d1: {
    "GET ": d1.describe,
    "POST query": d1.query,
  },
  queues: {
    "GET ": queues.describe,
    "GET metrics": queues.metrics,
    "POST messages/batch": queues.push,
    "POST messages/pull": queues.pull,
    "POST messages/ack": queues.acknowledge,
  },
};

export default {
  async fetch(request, env) {
    try {
      return done(await answer(request, env));
    } catch (error) {
      if (error instanceof Refusal) return error.answer;
      throw error;
    }
  },
};

async function answer(request, env) {
  const path = new URL(request.url).pathname;
  const [, account, service, id, rest = ""] = PATH.exec(path) ?? [];
  const product = service === "queues" ? "queues" : "d1";
  const route = ROUTES[product][`${request.method} ${rest}`];
  const permitted = permissions(request, env);
  if (service === undefined || route === undefined) {
    const message = `Could not route to ${path}, perhaps your object identifier is invalid?`;
    throw new Refusal(404, 7003, message);
  }
  admit(product, account === env.ACCOUNT, permitted);
  const name = `${product === "d1" ? "d1" : "queue"}:${id}`;
  if (!Object.hasOwn(env, name)) throw missing(product, id);
  return await route({ request, env, id, binding: env[name] });
}

function permissions(request, env) {
  const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ", 2);
  if (scheme !== "Bearer" || !token) {
    throw new Refusal(400, 10001, "Unable to authenticate request");
  }
  if (!Object.hasOwn(env.TOKENS, token)) throw new Refusal(401, 10000, "Authentication error");
  return env.TOKENS[token];
}

function admit(product, isOurs, permitted) {
  if (!permitted.includes(product)) {
    if (product === "queues") throw new Refusal(403, 10106, "Unauthorized");
    throw new Refusal(403, 10000, "Authentication error");
  }
  if (!isOurs) {
    const message = "The given account is not valid or is not authorized to access this service";
    throw new Refusal(403, 7403, message);
  }
}

function missing(product, id) {
  return product === "d1"
    ? new Refusal(404, 7404, `The database ${id} could not be found`)
    : new Refusal(404, 10104, "Queue does not exist");
}
