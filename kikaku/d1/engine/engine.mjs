/**
 * Cloudflare's D1 engine on this machine: `gateway.js` in workerd, offline. For development and tests.
 *
 *   D1_GATEWAY_SECRET=… node engine.mjs --port 8002 --databases app,test_app [--persist DIR] [--with-parent]
 *
 * Prints one line `ready http://127.0.0.1:PORT` when it accepts requests. Ends on SIGTERM and SIGINT; with --with-parent
 * also when its stdin closes, which happens however the parent process ends. Without --persist the databases are in a
 * temporary folder that is deleted at the end.
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Miniflare } from "miniflare";

function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

const { values: options } = parseArgs({
  options: {
    port: { type: "string" },
    databases: { type: "string" },
    persist: { type: "string" },
    "with-parent": { type: "boolean", default: false },
  },
});
const port = Number(options.port ?? 0);
const databases = (options.databases ?? "").split(",").filter(Boolean);
const secret = process.env.D1_GATEWAY_SECRET ?? "";
if (!Number.isInteger(port) || port < 0 || port > 65535) stop("--port must be a number up to 65535.");
if (databases.length === 0 || databases.some((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)))
  stop("--databases must be names of letters, digits and _, with commas.");
if (secret.length < 32) stop("D1_GATEWAY_SECRET must be 32 random characters or more.");

let engine;
let ending = false;
async function end() {
  if (ending) return;
  ending = true;
  await engine?.dispose();
  process.exit(0);
}
process.on("SIGTERM", end);
process.on("SIGINT", end);
if (options["with-parent"]) process.stdin.on("end", end).on("error", end).resume();

engine = new Miniflare({
  modules: [{ type: "ESModule", path: "gateway.js", contents: readFileSync(new URL("../gateway.js", import.meta.url)) }],
  compatibilityDate: "2026-07-01",
  bindings: { D1_GATEWAY_SECRET: secret },
  d1Databases: Object.fromEntries(databases.map((name) => [name, name])),
  d1Persist: options.persist ?? false,
  // workerd's socket directly in front of the gateway: miniflare's own leads through another Worker
  host: "127.0.0.1",
  port: 0,
  unsafeDirectSockets: [{ host: "127.0.0.1", port }],
  cf: false, // else miniflare asks Cloudflare where this machine is
  // no network access
  outboundService: () => {
    throw new Error("offline");
  },
});
await engine.ready;
const url = await engine.unsafeGetDirectURL();
process.stdout.write(`ready http://127.0.0.1:${url.port}\n`);
