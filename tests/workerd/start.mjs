// Runs Cloudflare on this machine until stdin ends: one line of JSON on stdout says where.
import { Miniflare } from "miniflare";
import { cloud, TOKENS } from "./cloud.mjs";
import { Front } from "./front.mjs";

const miniflare = new Miniflare(cloud());
const upstream = await miniflare.ready;
const worker = await miniflare.getWorker("orders");

async function order(name, details = {}) {
  const answer = await worker.fetch(`http://orders/${name}`, {
    method: "POST",
    body: JSON.stringify(details),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return await answer.json();
}

await order("setup");
const front = new Front(upstream, order);
const port = await front.listen();
console.log(JSON.stringify({ port, ...TOKENS }));

// Signals end it too: Miniflare sees to that.
process.stdin.resume().on("end", async () => {
  front.close();
  await miniflare.dispose();
});
