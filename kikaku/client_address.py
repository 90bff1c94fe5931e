"""Where a request comes from: one answer, for the rate limits, the audit log and the logs.

The web server's REMOTE_ADDR, unless the request proves that it came through our own Worker at Cloudflare; then the
address that Cloudflare saw. Whatever else a request says about itself anybody can write, X-Forwarded-For included.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

# what others would believe: django-auditlog takes the address and the port from here
UNTRUSTED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PORT")


@lru_cache(maxsize=4)
def edge_proof(secret: str) -> str:
    """Return what our Worker sends as `X-Kikaku-Edge`: the hex HMAC-SHA-256 of "edge" under the shared secret."""
    return hmac.new(secret.encode(), b"edge", hashlib.sha256).hexdigest()


def through_our_edge(meta: Mapping[str, Any]) -> bool:
    """Tell whether a request proves that our Worker sent it; nothing does while D1_GATEWAY_SECRET is empty."""
    secret = settings.D1_GATEWAY_SECRET
    proof = str(meta.get("HTTP_X_KIKAKU_EDGE", ""))
    return bool(secret) and hmac.compare_digest(proof.encode(), edge_proof(secret).encode())


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; None for what is none. An IPv4 address in IPv6's clothes is the IPv4 address."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_address(meta: Mapping[str, Any]) -> str:
    """Return the client's address out of a request's META; empty when nobody knows it (a Unix socket)."""
    told = meta.get("HTTP_CF_CONNECTING_IP") if through_our_edge(meta) else None
    return str(parse(str(told or "")) or parse(str(meta.get("REMOTE_ADDR", ""))) or "")


def client_network(address: str) -> str:
    """Return whom an address stands for: itself, or the /64 that one IPv6 household may walk through."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or "")


class ClientAddressMiddleware:
    """Put the client's address where everything looks for it, REMOTE_ADDR, and into each line of the log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the address in place and the forwarded ones gone."""
        request.META["REMOTE_ADDR"] = address = client_address(request.META)
        for name in UNTRUSTED:
            request.META.pop(name, None)
        # not unbound: Django writes its line about a refused request after the middlewares, and the next request rebinds
        structlog.contextvars.bind_contextvars(client=address)
        return self.get_response(request)
