// The API worker's side of the field format: WebCrypto, as it runs in Node and in Workers.
// Reads {"operation": "seal" | "open", "key": base64, "texts": [...]} and writes a JSON array.
import { webcrypto } from "node:crypto";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

async function seal(key, text) {
  const iv = webcrypto.getRandomValues(new Uint8Array(12));
  const data = new TextEncoder().encode(text);
  const sealed = new Uint8Array(await webcrypto.subtle.encrypt({ name: "AES-GCM", iv }, key, data));
  return [iv, sealed.slice(0, -16), sealed.slice(-16)].map(base64).join(":");
}

async function open(key, field) {
  const [iv, ciphertext, tag] = field.split(":").map(bytes);
  const sealed = new Uint8Array([...ciphertext, ...tag]);
  const plaintext = await webcrypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed);
  return new TextDecoder("utf-8", { fatal: true }).decode(plaintext);
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { operation, key: raw, texts } = JSON.parse(input);
const key = await webcrypto.subtle.importKey("raw", bytes(raw), "AES-GCM", false, [
  "encrypt",
  "decrypt",
]);
const results = [];
for (const text of texts) results.push(await (operation === "seal" ? seal : open)(key, text));
console.log(JSON.stringify(results));
