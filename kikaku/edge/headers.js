/**
 * The headers with which our Worker passes a visitor's request on to the container. Public Workers API only.
 *
 * `kikaku/client_address.py` believes the visitor's address because of the proof that stands beside it:
 *
 *   CF-Connecting-IP: <address>
 *   X-Kikaku-Edge:    <seconds>.<hex of HMAC-SHA-256(D1_GATEWAY_SECRET, "edge\n<seconds>\n<address>")>
 *
 * `seconds` is Unix time; a proof holds for five minutes. It covers the address, so that no other can be set beside it.
 */

// what a visitor sends under these names is dropped: the container, or a library in it, would believe it
const DROPPED = /^(cf-|x-kikaku-|x-forwarded-|x-real-ip$|forwarded$|true-client-ip$|x-original-url$|x-rewrite-url$)/;

const encoder = new TextEncoder();

/** Return the value of X-Kikaku-Edge for a visitor's address; `now` is in milliseconds. */
export async function proof(address, secret, now = Date.now()) {
  const seconds = Math.floor(now / 1000);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  const signed = await crypto.subtle.sign("HMAC", key, encoder.encode(`edge\n${seconds}\n${address}`));
  const hex = [...new Uint8Array(signed)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${seconds}.${hex}`;
}

/**
 * Return the headers to pass on. A name with an underscore is dropped: to a WSGI server it is the same as the name with
 * a hyphen, so it would take that one's place.
 */
export async function passedOn(headers, secret, now = Date.now()) {
  const passed = new Headers();
  for (const [name, value] of headers) {
    if (!name.includes("_") && !DROPPED.test(name)) passed.append(name, value);
  }
  const address = headers.get("CF-Connecting-IP") ?? "";
  passed.set("CF-Connecting-IP", address);
  passed.set("X-Kikaku-Edge", await proof(address, secret, now));
  passed.set("X-Forwarded-Proto", "https");
  const ray = headers.get("CF-Ray"); // Cloudflare's own, whatever a visitor sent: the id of the request in our log
  if (ray) passed.set("CF-Ray", ray);
  return passed;
}
