// A certified authorization server (github.com/panva/node-oidc-provider) on loopback, with refresh
// token rotation and reuse detection: a token that was used before is invalid_grant and takes its
// whole grant with it (RFC 9700 section 4.14.2).
//
//   node server.mjs REQUESTS_FILE
//
// Prints its port. Each token request becomes a line of REQUESTS_FILE, tokens as short hashes, before
// it is answered. Orders come as JSON lines on stdin, and each is answered by one on stdout:
//
//   {"order": "seed", "account"}      -> {"refresh_token"}  a new grant
//   {"order": "revoke", "account"}    the user takes the grant back
//   {"order": "tolerate", "account"}  the token before the newest goes on working
//   {"order": "hold", "account"}      keep back the next answer, after its token was rotated
//   {"order": "held", "account"}      answers when there is such an answer
//   {"order": "release", "account"}   let it go

import { createHash, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const CLIENT_ID = "clearlift";
const CLIENT_SECRET = "s3cret: with / every + thing %";
const REQUESTS_FILE = process.argv[2];

const tolerated = new Set();
const stored = new Map();

class Memory {
  constructor(model) {
    this.model = model;
  }

  async upsert(id, payload) {
    stored.set(`${this.model}:${id}`, payload);
  }

  async find(id) {
    return stored.get(`${this.model}:${id}`);
  }

  async consume(id) {
    const token = await this.find(id);
    if (!tolerated.has(token.accountId)) token.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(`${this.model}:${id}`);
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) {
      if (key.startsWith(`${this.model}:`) && payload.grantId === grantId) stored.delete(key);
    }
  }
}

const holds = new Map();

function hold(account) {
  const order = {};
  order.held = new Promise((resolve) => (order.arrived = resolve));
  order.released = new Promise((resolve) => (order.release = resolve));
  holds.set(account, order);
}

const short = (token) => token && createHash("sha256").update(token).digest("hex").slice(0, 16);

async function watched(ctx, next) {
  await next();
  if (ctx.oidc?.route !== "token") return;
  const { RefreshToken, RotatedRefreshToken } = ctx.oidc.entities;
  const account = RefreshToken?.accountId ?? RotatedRefreshToken?.accountId ?? null;
  const line = {
    account,
    sent: short(ctx.oidc.params?.refresh_token) ?? null,
    granted: short(ctx.body.refresh_token) ?? null,
    status: ctx.status,
    error: ctx.body.error ?? null,
  };
  appendFileSync(REQUESTS_FILE, `${JSON.stringify(line)}\n`);
  const order = holds.get(account);
  if (order === undefined) return;
  order.arrived();
  await Promise.race([order.released, once(ctx.res, "close")]);
  holds.delete(account);
}

const http = createServer();
await once(http.listen(0, "127.0.0.1"), "listening");
const { port } = http.address();

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Memory,
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      grant_types: ["authorization_code", "refresh_token"],
      id_token_signed_response_alg: "ES256",
      redirect_uris: ["https://clearlift.example/callback"],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  cookies: { keys: ["no cookie is ever set"] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  jwks: { keys: [privateKey.export({ format: "jwk" })] },
  rotateRefreshToken: true,
  scopes: ["offline_access"],
  ttl: { AccessToken: 3600, Grant: 86400, RefreshToken: 86400 },
});
provider.use(watched);
http.on("request", provider.callback());

async function seed(accountId) {
  const client = await provider.Client.find(CLIENT_ID);
  const grant = new provider.Grant({ accountId, clientId: CLIENT_ID });
  grant.addOIDCScope("offline_access");
  const grantId = await grant.save();
  const gty = "authorization_code";
  const token = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty,
    scope: "offline_access",
  });
  return { refresh_token: await token.save() };
}

function revoke(account) {
  for (const [key, payload] of stored) if (payload.accountId === account) stored.delete(key);
}

const orders = {
  seed,
  revoke,
  tolerate: (account) => tolerated.add(account),
  hold,
  held: (account) => holds.get(account).held,
  release: (account) => holds.get(account).release(),
};

console.log(JSON.stringify({ port, client_id: CLIENT_ID, client_secret: CLIENT_SECRET }));
for await (const line of createInterface({ input: process.stdin })) {
  const { order, account } = JSON.parse(line);
  const answer = await orders[order](account);
  console.log(JSON.stringify(answer?.refresh_token ? answer : {}));
}
process.exit();
