/**
 * A visitor's request as our Worker passes it on to the container. Public Workers API only.
 */

import { passedOn } from "./headers.js";

const MAX_BODY_BYTES = 12_000_000; // the largest body that the container takes: `RULES` in kikaku/door.py
const FRAMING = ["Content-Length", "Transfer-Encoding"]; // of the visitor's connection; ours has its own

/** Return a request's body, whole; null if it is too large. */
async function wholeBody(request) {
  const parts = [];
  let size = 0;
  for await (const part of request.body) {
    size += part.byteLength;
    if (size > MAX_BODY_BYTES) return null;
    parts.push(part);
  }
  return new Blob(parts).arrayBuffer();
}

/**
 * Return the request to pass on, or the Response that refuses it. Its body is read before the container sees any of it, and
 * has a length: a slow visitor holds no connection to the container.
 */
export async function toPassOn(request, secret, now = Date.now()) {
  const body = request.body === null ? null : await wholeBody(request);
  if (body === null && request.body !== null) {
    return new Response("送信された内容が大きすぎます。\nWhat was sent is too large.\n", { status: 413 });
  }
  const headers = await passedOn(request.headers, secret, now);
  for (const name of FRAMING) headers.delete(name);
  return new Request(request.url, { method: request.method, headers, body, redirect: "manual" });
}
