"""Requests, responses, and the headers of Stripe's API."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kikaku.sandbox.errors import ApiError

MAX_BODY_BYTES = 1_000_000

_TEST_KEY = re.compile(r"(?:sk|rk)_test_[A-Za-z0-9_]{1,250}\Z")


@dataclass(frozen=True)
class Request:
    """One HTTP request, from a socket or from the same process."""

    method: str
    target: str  # path with query, as in the request line
    headers: Mapping[str, str]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header by its name in any case, or None."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document as UTF-8 JSON."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def json_response(status: int, body: bytes, **headers: str) -> Response:
    """Return a JSON response; names of headers are passed with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status, {"Content-Type": "application/json", "Cache-Control": "no-cache, no-store", **named}, body
    )


def check_api_key(request: Request) -> None:
    """Check the key of a request: a secret or restricted test key, as Bearer token or as Basic user name.

    Raises:
        ApiError: 401 without a key, with a malformed one, or with a live one. The key itself is never echoed.
    """
    scheme, _, credentials = (request.header("Authorization") or "").strip().partition(" ")
    key = credentials.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not key:
        raise ApiError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header,"
            " using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if key.startswith(("sk_live_", "rk_live_")):
        raise ApiError(
            401, "A live API key was sent to the test stand-in. Use a key that begins with sk_test_."
        )
    if not _TEST_KEY.match(key):
        raise ApiError(401, "Invalid API Key provided. It must begin with sk_test_ or rk_test_.")


def check_version(request: Request, api_version: str) -> None:
    """Check that a request asks for no other API version than ours.

    Raises:
        ApiError: 400, naming both versions.
    """
    wanted = request.header("Stripe-Version")
    if wanted is not None and wanted != api_version:
        raise ApiError(
            400,
            f"Invalid Stripe API version: {wanted[:60]}. This stand-in speaks {api_version} only;"
            " pin that version in the client.",
        )
