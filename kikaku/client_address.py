"""The client's address of a request, for the rate limits, the audit log and the logs.

It is the web server's REMOTE_ADDR, unless the request proves that it came through our Worker at Cloudflare:
then it is the address that Cloudflare saw. Other headers, X-Forwarded-For included, can be forged and are
ignored.
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

# removed, because libraries trust them: django-auditlog reads address and port from them
UNTRUSTED_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PORT")


@lru_cache(maxsize=4)
def edge_proof(secret: str) -> str:
    """Return the value of our Worker's X-Kikaku-Edge header: hex HMAC-SHA-256 of "edge" under the secret."""
    return hmac.new(secret.encode(), b"edge", hashlib.sha256).hexdigest()


def is_from_our_worker(meta: Mapping[str, Any]) -> bool:
    """Return whether a request proves that our Worker sent it; never while D1_GATEWAY_SECRET is empty."""
    secret = settings.D1_GATEWAY_SECRET
    proof = str(meta.get("HTTP_X_KIKAKU_EDGE", ""))
    return bool(secret) and hmac.compare_digest(proof.encode(), edge_proof(secret).encode())


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text holds, or None. An IPv4-mapped IPv6 address becomes the IPv4 address."""
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def client_address(meta: Mapping[str, Any]) -> str:
    """Return the client's address from a request's META; "" if it is unknown (a Unix socket)."""
    forwarded = meta.get("HTTP_CF_CONNECTING_IP") if is_from_our_worker(meta) else None
    return str(parse_address(str(forwarded or "")) or parse_address(str(meta.get("REMOTE_ADDR", ""))) or "")


def client_network(address: str) -> str:
    """Return the network that counts as one client: an IPv4 address itself, an IPv6 address's /64."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return str(parsed or "")


class ClientAddressMiddleware:
    """Middleware that puts the client's address into REMOTE_ADDR and into each line of the log."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to the request without its untrusted headers."""
        request.META["REMOTE_ADDR"] = address = client_address(request.META)
        for name in UNTRUSTED_HEADERS:
            request.META.pop(name, None)
        # not unbound afterwards: Django logs a refused request after the middlewares, and the next request
        # rebinds it
        structlog.contextvars.bind_contextvars(client=address)
        return self.get_response(request)
