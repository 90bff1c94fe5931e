/**
 * D1 bindings behind a small HTTP protocol, for the Django backend in this folder. Public Workers API only, no dependency.
 *
 *   POST /v1/<name of a D1 binding>        Authorization: Bearer <D1_GATEWAY_SECRET>
 *
 *   {"batch": [[sql, params], …]}     200  {"results": [{"rows": [[…], …], "read": n, "written": n}, …], "size": bytes}
 *   {"raw": [sql, params]}            200  {"columns": […], "rows": [[…], …]}
 *
 * A batch is one atomic unit. `params` is optional; a parameter is a text, a finite number or {"blob": base64}, and a
 * cell with a blob has the same form. An error of D1 or SQLite is 422; a result that is too large to be returned is 507,
 * and its statements were run; every answer but 200 is {"error": text}.
 *
 * D1's batch returns rows as objects. Columns of equal names are therefore one cell, and a column whose name is an integer
 * comes before the others: give names (`AS c0`), or use `raw`. In both, integers beyond 2^53 lose digits and infinite
 * numbers become null: select them as text.
 *
 * Nothing is logged: SQL, parameters and error texts contain customers' data, and aborted batches carry rows in their
 * error text.
 *
 * A separate Worker uses the default export. A Worker in front of a container answers the container's requests with
 * `outboundByHost = { "d1.internal": handle }`.
 */

const MAXIMUM_BODY = 8 * 1024 * 1024; // bytes; D1 takes 100 KB a statement
// a longer body is read and discarded up to here: a client that is still sending would see a broken connection instead
// of the 413, and not know that nothing was applied
const MAXIMUM_DISCARDED = 4 * MAXIMUM_BODY;
const MAXIMUM_ANSWER = 32 * 1024 * 1024; // characters; a Worker has 128 MB of memory
const MAXIMUM_PARAMETERS = 100; // of a statement, D1's limit
const MINIMUM_SECRET = 32; // characters
const PATH = /^\/v1\/([A-Za-z_][A-Za-z0-9_]{0,127})$/;

const encoder = new TextEncoder();
// fatal: invalid UTF-8 must not reach the database as another text; ignoreBOM: JSON.parse refuses a BOM
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** An answer with `status` and a fixed text, which never repeats what was sent. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function answer(status, body) {
  return respond(status, JSON.stringify(body));
}

function respond(status, text) {
  return new Response(text, { status, headers: { "Content-Type": "application/json" } });
}

// ── Authorization ────────────────────────────────────────────────────────────────────────────────────────

// the digest of the secret is kept as long as the isolate: one hash a request instead of two
let knownSecret = null;
let knownDigest = null;

async function digest(text) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
}

/** Throw a Refusal unless the request has the secret, compared in constant time. */
async function authorize(request, env) {
  const secret = env.D1_GATEWAY_SECRET;
  if (typeof secret !== "string" || secret.length < MINIMUM_SECRET) throw new Refusal(500, "not configured");
  const given = await digest(request.headers.get("Authorization") ?? "");
  if (knownSecret !== secret) {
    knownDigest = await digest(`Bearer ${secret}`);
    knownSecret = secret;
  }
  let difference = 0;
  for (let i = 0; i < given.length; i++) difference |= given[i] ^ knownDigest[i];
  if (difference !== 0) throw new Refusal(401, "wrong or missing secret");
}

/** Return the binding, or null for every other name: variables, secrets, other kinds of bindings. */
function database(env, name) {
  if (!Object.hasOwn(env, name)) return null;
  const binding = env[name];
  const fits =
    typeof binding === "object" &&
    binding !== null &&
    typeof binding.prepare === "function" &&
    typeof binding.batch === "function";
  return fits ? binding : null;
}

// ── Requests ─────────────────────────────────────────────────────────────────────────────────────────────

/** Return the body as text. The length is counted, because Content-Length may be wrong. */
async function readText(request) {
  if (Number(request.headers.get("Content-Length")) > MAXIMUM_DISCARDED) throw new Refusal(413, "body too large");
  if (request.body === null) return "";
  const chunks = [];
  let length = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length <= MAXIMUM_BODY) chunks.push(value);
    else chunks.length = 0;
    if (length > MAXIMUM_DISCARDED) {
      await reader.cancel();
      break;
    }
  }
  if (length > MAXIMUM_BODY) throw new Refusal(413, "body too large");
  let bytes = chunks[0];
  if (chunks.length !== 1) {
    bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
  }
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refusal(400, "body is not UTF-8");
  }
}

function decodeBlob(text) {
  let binary;
  try {
    binary = atob(text);
  } catch {
    throw new Refusal(400, "blob is not base64");
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}

function parameter(value) {
  if (typeof value === "string") {
    // a lone surrogate would be stored as U+FFFD
    if (!value.isWellFormed()) throw new Refusal(400, "text parameter is not well-formed Unicode");
    return value;
  }
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new Refusal(400, "number parameter is not finite"); // 1e999 in JSON
    return value;
  }
  if (typeof value === "object" && value !== null && typeof value.blob === "string" && Object.keys(value).length === 1)
    return decodeBlob(value.blob);
  throw new Refusal(400, "parameter must be a text, a number or a blob");
}

/** Return D1's prepared statement for [sql] or [sql, params]. */
function statement(db, item) {
  if (!Array.isArray(item) || item.length < 1 || item.length > 2 || typeof item[0] !== "string")
    throw new Refusal(400, "statement must be [sql, params]");
  if (!item[0].isWellFormed()) throw new Refusal(400, "sql is not well-formed Unicode");
  const prepared = db.prepare(item[0]);
  if (item.length === 1) return prepared;
  if (!Array.isArray(item[1])) throw new Refusal(400, "params must be a list");
  if (item[1].length > MAXIMUM_PARAMETERS) throw new Refusal(400, `more than ${MAXIMUM_PARAMETERS} parameters`);
  return item[1].length === 0 ? prepared : prepared.bind(...item[1].map(parameter));
}

/** Return a function that runs a body; everything is checked before anything runs. */
function parse(db, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Refusal(400, "body is not JSON");
  }
  if (typeof body === "object" && body !== null && !Array.isArray(body) && Object.keys(body).length === 1) {
    if (Object.hasOwn(body, "batch")) {
      if (!Array.isArray(body.batch) || body.batch.length === 0)
        throw new Refusal(400, "batch must be a list of statements");
      const statements = body.batch.map((item) => statement(db, item));
      return () => runBatch(db, statements);
    }
    if (Object.hasOwn(body, "raw")) {
      const prepared = statement(db, body.raw);
      return () => runRaw(prepared);
    }
  }
  throw new Refusal(400, "body must hold either batch or raw");
}

// ── Answers ──────────────────────────────────────────────────────────────────────────────────────────────

/** Return a cell as JSON. D1 returns a blob as a list of bytes. */
function cell(value) {
  if (typeof value !== "object" || value === null) return value;
  const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x2000) binary += String.fromCharCode(...bytes.slice(i, i + 0x2000));
  return { blob: btoa(binary) };
}

async function runBatch(db, statements) {
  const results = await db.batch(statements);
  return {
    results: results.map(({ results: rows, meta }) => ({
      rows: rows.map((row) => Object.values(row).map(cell)),
      read: meta.rows_read ?? 0,
      written: meta.rows_written ?? 0,
    })),
    size: results.at(-1).meta.size_after ?? 0, // of the whole database
  };
}

async function runRaw(prepared) {
  const [columns, ...rows] = await prepared.raw({ columnNames: true });
  return { columns: columns ?? [], rows: rows.map((row) => row.map(cell)) };
}

/** Return D1's complete error text: the message, and its cause unless the message ends with it. */
function explain(error) {
  const message = String(error?.message ?? error);
  const cause = error?.cause?.message;
  return typeof cause === "string" && !message.endsWith(cause) ? `${message}: ${cause}` : message;
}

/** Answer one request; `env` has the D1 bindings and D1_GATEWAY_SECRET. */
export async function handle(request, env) {
  try {
    await authorize(request, env);
    const path = PATH.exec(new URL(request.url).pathname);
    if (path === null) throw new Refusal(404, "no such path");
    if (request.method !== "POST") throw new Refusal(405, "only POST");
    const db = database(env, path[1]);
    if (db === null) throw new Refusal(404, "no such database");
    const run = parse(db, await readText(request));
    let result;
    try {
      result = await run();
    } catch (error) {
      return answer(422, { error: explain(error) });
    }
    const text = JSON.stringify(result);
    return text.length > MAXIMUM_ANSWER ? answer(507, { error: "answer too large" }) : respond(200, text);
  } catch (error) {
    if (error instanceof Refusal) return answer(error.status, { error: error.message });
    // a bug, or a connection that broke while the body was read: the error's text may contain what was sent
    return answer(500, { error: "the gateway failed" });
  }
}

export default { fetch: handle };
