"""Adapter of the stand-in to Django and to Stripe's client library, the only module here that imports them.

In development without a Stripe key the settings name its functions by dotted path (`STRIPE_HTTP_CLIENT`,
`JOB_GUARD`). Production imports nothing of `kikaku.sandbox`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import stripe
from django.conf import settings

from kikaku.sandbox.clock_lock import shared_clock
from kikaku.sandbox.http import Request
from kikaku.sandbox.server import serve as serve_sandbox
from kikaku.sandbox.standin import Sandbox

MAX_OPEN_SANDBOXES = 4  # tests take a state file each

_clients: dict[Path, "InProcessClient"] = {}
_clients_lock = threading.Lock()


class InProcessClient(stripe.HTTPClient):
    """HTTP client for Stripe's library that calls a stand-in in this process instead of opening a socket."""

    name = "in-process"

    def __init__(self, target: Sandbox) -> None:
        super().__init__()
        self.target = target

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, Mapping[str, str]]:
        """Return body, status and headers, as `stripe.HTTPClient.request` does."""
        parts = urlsplit(url)
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        answer = self.target.handle(
            Request(
                method=method.upper(),
                target=f"{parts.path}?{parts.query}" if parts.query else parts.path,
                headers=dict(headers or {}),
                body=body,
            )
        )
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return answer.body.decode(), answer.status, lowered


def http_client() -> InProcessClient:
    """Return the client of the stand-in on `settings.SANDBOX_STATE`, one for each path and process.

    Raises `RuntimeError` if the stand-in is off: in production, and with a Stripe key.
    """
    if not settings.SANDBOX:
        raise RuntimeError("The Stripe stand-in exists in development without STRIPE_SECRET_KEY only.")
    path = Path(settings.SANDBOX_STATE)
    with _clients_lock:
        if path not in _clients:
            while len(_clients) >= MAX_OPEN_SANDBOXES:
                _clients.pop(next(iter(_clients))).target.close()
            _clients[path] = InProcessClient(_sandbox(path, base_url=settings.SANDBOX_BASE_URL))
        return _clients[path]


def sandbox() -> Sandbox:
    """Return the stand-in that `http_client` calls. Raises `RuntimeError` as that does."""
    return http_client().target


@contextmanager
def job_guard() -> Iterator[str]:
    """Yield why a scheduled job must wait, or "": then no demo history can begin during the block."""
    with shared_clock(settings.SANDBOX_STATE) as is_free:
        yield "" if is_free else "a demo history is being written; this waits until it is done"


def serve(port: int) -> None:
    """Serve the stand-in on 127.0.0.1, with webhooks to the shop, until SIGTERM or Ctrl-C.

    Raises `OSError` when the port cannot be used.
    """
    base_url = settings.SANDBOX_BASE_URL if port == settings.SANDBOX_PORT else f"http://127.0.0.1:{port}"
    webhook_url = f"{settings.STOREFRONT_BASE_URL}/webhooks/stripe"
    serve_sandbox(_sandbox(settings.SANDBOX_STATE, base_url=base_url, webhook_url=webhook_url), port)


def _sandbox(state: Path, *, base_url: str, webhook_url: str | None = None) -> Sandbox:
    return Sandbox(
        state,
        base_url=base_url,
        webhook_url=webhook_url,
        webhook_secret=settings.STRIPE_WEBHOOK_SECRETS[0],
        api_version=settings.STRIPE_API_VERSION,
        return_origins=[settings.STOREFRONT_BASE_URL],
    )
