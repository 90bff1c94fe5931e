"""The client's address of a request, for the rate limits and the audit log; the logs have a hash of it.

It is the web server's REMOTE_ADDR, unless the request proves that our Worker at Cloudflare passed it on with
another (`kikaku/edge/headers.js`): that is the one that Cloudflare saw. Other headers, X-Forwarded-For
included, can be forged and are ignored.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

# removed, because libraries trust them: django-auditlog reads address and port from the first two
UNTRUSTED_HEADERS = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_X_KIKAKU_EDGE",
)
PROOF = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})")
PROOF_SECONDS = 300  # how far the Worker's clock may be from ours


def edge_proof(address: str, seconds: int, secret: str) -> str:
    """Return the value of our Worker's X-Kikaku-Edge header for an address at a time.

    It is the time, a dot, and the hex HMAC-SHA-256 of "edge", time and address, one a line, under the secret.
    """
    text = f"edge\n{seconds}\n{address}".encode("utf-8", "surrogatepass")
    return f"{seconds}.{hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}"


def proven_address(meta: Mapping[str, Any], *, now: float) -> str:
    """Return the address that our Worker proves; "" without its proof or while D1_GATEWAY_SECRET is empty.

    `now` is in seconds since 1970.
    """
    address, proof = str(meta.get("HTTP_CF_CONNECTING_IP", "")), str(meta.get("HTTP_X_KIKAKU_EDGE", ""))
    parts = PROOF.fullmatch(proof)
    if parts is None or not settings.D1_GATEWAY_SECRET:
        return ""
    seconds = int(parts[1])
    if abs(now - seconds) > PROOF_SECONDS:
        return ""
    expected = edge_proof(address, seconds, settings.D1_GATEWAY_SECRET)
    return address if hmac.compare_digest(proof, expected) else ""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text holds, or None. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_address(meta: Mapping[str, Any]) -> str:
    """Return the client's address from a request's META; "" if it is unknown (a Unix socket)."""
    proven = parse_address(proven_address(meta, now=time.time()))
    return str(proven or parse_address(str(meta.get("REMOTE_ADDR", ""))) or "")


def client_network(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address itself, an IPv6 address's /64."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or "")


def client_key(address: str) -> str:
    """Return a keyed hash of the network of an address, to store instead of it; "" without an address."""
    network = client_network(address)
    if not network:
        return ""
    text = f"client\0{network}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()[:32]


class ClientAddressMiddleware:
    """Middleware that puts the client's address into REMOTE_ADDR, and a hash of it into each log line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to the request without its untrusted headers."""
        request.META["REMOTE_ADDR"] = address = client_address(request.META)
        for name in UNTRUSTED_HEADERS:
            request.META.pop(name, None)
        # not unbound afterwards: Django logs a refused request after the middlewares, and the next request
        # rebinds it
        structlog.contextvars.bind_contextvars(client=client_key(address)[:12])
        return self.get_response(request)
