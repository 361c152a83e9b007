// The server that a test talks to: passes requests on to workerd, counts them, and spoils those
// that the test has named. Under `/__` it takes the test's own orders (see cloudflare.py).
//
// A fault says which request it is for, and what becomes of that:
//
//   route       "query", "messages/batch", … or "*"
//   nth         the how many-th of that route, counted from when the fault was given
//   times       how many from there on
//   when        "before" workerd has seen it, or "after" it has done what it was asked
//   statements  how many of a batch are committed, if not all
//   delay_ms    how long it takes: to be passed on, or to be answered, as `when` says
//   outcome     "answer", with status, headers and body; "reset"; or "pass"
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { QUEUES, STAGES } from "./cloud.mjs";

const PATH = /^\/client\/v4\/accounts\/[^/]+\/(?:d1\/database|queues)\/([^/?]+)\/([^?]+)/;
const IDLE_MS_MAX = 600_000; // Longer than any test: it must not seem a fault.
const AFTER_DELIVERY = ["metrics", "messages/pull"];

export class Front {
  #upstream;
  #order;
  #server;
  #faults = [];
  #requests = [];
  #underway = new Set();
  #accepted = new Map(); // How many messages each queue has to deliver, or has delivered.
  #stages = 0;

  constructor(upstream, order) {
    this.#upstream = upstream;
    this.#order = order;
    this.#server = createServer({ keepAliveTimeout: IDLE_MS_MAX }, (request, response) => {
      this.#serve(request, response).catch((error) => {
        console.error(error);
        response.writeHead(599).end(error.stack);
      });
    });
  }

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.#server.address().port;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(request, response) {
    const body = Buffer.concat(await request.toArray());
    const { method, url: path, headers: sent } = request;
    if (path.startsWith("/__")) return await this.#obey(path.slice("/__".length), body, response);
    const [, resource = "", route = path] = PATH.exec(path) ?? [];
    const call = { method, path, sent, body, resource, route };
    const fault = this.#faultFor(route);
    const { status, headers, body: answer } = await this.#counted(call, this.#answer(call, fault));
    if (fault?.when === "after") await sleep(fault.delay_ms);
    if (status === 0) response.socket.resetAndDestroy();
    else response.writeHead(status, headers).end(answer);
  }

  async #counted({ method, route, resource }, answer) {
    this.#underway.add(answer);
    const { status } = await answer.finally(() => this.#underway.delete(answer));
    this.#requests.push({ method, route, resource, status });
    return await answer;
  }

  #faultFor(route) {
    let found;
    for (const fault of this.#faults.filter((each) => ["*", route].includes(each.route))) {
      fault.nth -= 1;
      if (fault.nth <= 0 && fault.nth > -fault.times) found ??= fault;
    }
    return found;
  }

  async #answer(call, fault) {
    if (fault?.when === "before") await sleep(fault.delay_ms);
    if (fault === undefined || fault.outcome === "pass") return await this.#pass(call, fault);
    if (fault.when === "after") await this.#pass(call, fault);
    return fault.outcome === "reset" ? { status: 0 } : fault;
  }

  async #pass({ method, path, sent, body, resource, route }, fault) {
    if (AFTER_DELIVERY.includes(route)) await this.#delivered(resource);
    const headers = { "Content-Type": "application/json" };
    if (sent.authorization) headers.Authorization = sent.authorization;
    if (Number.isInteger(fault?.statements)) headers["X-Commit-Statements"] = `${fault.statements}`;
    const init = { method, headers, body: method === "GET" ? undefined : body };
    const answer = await fetch(new URL(path, this.#upstream), init);
    if (answer.ok && route === "messages/batch") this.#accept(resource, JSON.parse(body).messages);
    const type = { "Content-Type": answer.headers.get("Content-Type") ?? "text/plain" };
    return { status: answer.status, headers: type, body: Buffer.from(await answer.arrayBuffer()) };
  }

  // What is to be delivered later is not waited for.
  #accept(queue, messages) {
    const now = messages.filter(({ delay_seconds }) => !delay_seconds).length;
    this.#accepted.set(queue, (this.#accepted.get(queue) ?? 0) + now);
  }

  async #delivered(queue) {
    const messages = this.#accepted.get(queue) ?? 0;
    if (messages > 0) await this.#order("delivered", { queue, messages });
  }

  async #obey(name, body, response) {
    const details = body.length > 0 ? JSON.parse(body) : {};
    const result = await this.#result(name, details);
    response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(result));
  }

  async #result(name, details) {
    if (name === "faults") return (this.#faults = details);
    if (name === "requests") return await this.#answered();
    if (name === "stage") return await this.#stage();
    await this.#delivered(details.queue);
    return await this.#order(name, details);
  }

  // A request whose client has gone may still be on its way.
  async #answered() {
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway);
    return this.#requests;
  }

  // Stages are taken in turn, so what a test has left undone has time to end.
  async #stage() {
    const stage = STAGES[this.#stages++ % STAGES.length];
    const queues = QUEUES.map((kind) => stage[kind]);
    for (const queue of queues) await this.#delivered(queue);
    for (const queue of queues) this.#accepted.delete(queue);
    [this.#faults, this.#requests] = [[], []];
    await this.#order("clear", { database: stage.database, queues });
    return stage;
  }
}
