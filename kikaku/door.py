"""The front door: reads a request whole, with a cap and a deadline, before a thread is taken for it.

Granian calls it through RSGI, in an event loop. A slow or silent client costs a coroutine and what it has
sent, never a thread; all bodies above `SMALL_BYTES` together take at most `HELD_BYTES`. The whole request
then goes to the WSGI application in a thread of its kind (`RULES`), so requests that wait for Stripe or for
the database's lock delay no page.

What it relies on in granian is pinned by `ops/tests/test_front_door.py`: a body ends with one empty
part, and with two if it broke off.
"""

import asyncio
import io
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from kikaku.pools import Pool

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication, WSGIEnvironment

    from granian.rsgi import Scope

logger = logging.getLogger(__name__)

PIECE_BYTES = 10_000  # of a body that must come within `settings.BODY_PATIENCE_SECONDS`, or its end
TOTAL_SECONDS = 300.0  # for a whole body
SMALL_BYTES = 64_000  # a body up to this size is always taken
HELD_BYTES = 64_000_000  # of all bodies in memory; beyond it those larger than SMALL_BYTES are refused
DRAINED_BYTES = (
    16_000_000  # read and dropped of a body that is too large: a client that sends reads no answer
)
SWEEP_SECONDS = 1.0  # between two looks for requests that have waited too long
HUNG_SECONDS = 60.0  # after it an unanswered request means that its pool hangs

# The threads of each kind; each thread has a connection to the database.
THREADS = {
    "health": 3,  # container, load balancer and monitor at once, each within its two seconds
    "webhooks": 2,
    "staff": 3,
    "stripe": 6,  # they wait for Stripe, mostly
    "search": 2,  # its rate limit writes, so it waits while the database is locked
    "pages": 4,  # they only read
    "forms": 3,
}


@dataclass(frozen=True)
class Rule:
    """Requests of one kind: their pool, and the bytes that a body may have."""

    pool: str
    limit: int
    pattern: re.Pattern[str]  # matched against "METHOD /path?query"


RULES = [  # the first that matches counts
    Rule("health", 1_000, re.compile(r"\S+ /(health|metrics)\?")),
    Rule("webhooks", 1_000_001, re.compile(r"\S+ /webhooks/")),  # the view refuses more than a million
    Rule("staff", 12_000_000, re.compile(r"POST (/en)?/admin/shop/product/")),  # two pictures and the rest
    Rule("staff", 1_000_000, re.compile(r"\S+ (/en)?/admin(/|\?)")),
    Rule("stripe", 256_000, re.compile(r"POST (/en)?/(checkout/place|orders/[^/]+/(pay|cancel))/")),
    Rule("stripe", 256_000, re.compile(r"\S+ (/en)?/orders/[^/]+/thanks/")),
    Rule("search", 256_000, re.compile(r"(GET|HEAD) ((/en)?/search/|[^?]*\?(.*&)?(q|%71)=)")),
    Rule("pages", 256_000, re.compile(r"(GET|HEAD) ")),
    Rule("forms", 256_000, re.compile("")),
]

Headers = list[tuple[str, str]]


class Exchange(Protocol):
    """What granian gives for each request beside its head: the body, and the way back."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return the parts of the body as they come."""

    def response_bytes(self, status: int, headers: Headers, body: bytes, /) -> None:
        """Send the response; any thread may do it."""


# for a path that has no page of its own (`Door.refusal_page`), such as that of the webhooks
REFUSALS = {
    400: "送信が途中で切れました。もう一度お試しください。\nThe request broke off. Please try again.\n",
    408: "送信に時間がかかりすぎました。もう一度お試しください。\nSending took too long. Please try again.\n",
    413: "送信された内容が大きすぎます。\nWhat was sent is too large.\n",
    500: "エラーが発生しました。もう一度お試しください。\nSomething went wrong. Please try again.\n",
    503: "ただいま混み合っています。少し待ってからもう一度お試しください。\n"
    "We are very busy. Please try again in a moment.\n",
}


REFUSAL_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; font-src 'self'; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Refused(Exception):
    """A request is answered with `status` by the door itself."""

    def __init__(self, status: int) -> None:
        self.status = status


def refusal(status: int, page: bytes = b"") -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refusal: HTML or JSON, or a plain text if there is no page.

    It closes the connection, whose body may not be read.
    """
    kind = f"text/{'html' if page else 'plain'}; charset=utf-8"
    headers = [
        ("Content-Type", "application/json" if page.startswith(b"{") else kind),
        ("Content-Security-Policy", REFUSAL_POLICY),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "10"))
    return status, headers, page or REFUSALS[status].encode()


@lru_cache(maxsize=512)
def environ_name(header: str) -> str:
    """Return the name of a header in WSGI; "" for one with an underscore, which could pose as another."""
    if "_" in header or header == "content-length":
        return ""
    return "CONTENT_TYPE" if header == "content-type" else "HTTP_" + header.upper().replace("-", "_")


def make_environ(scope: "Scope", body: bytes) -> "WSGIEnvironment":
    """Return the WSGI environment of a request."""
    server, _, port = scope.server.rpartition(":")
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "HTTP_HOST": "",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    seen = set()
    for header, value in scope.headers.items():
        name = environ_name(header)
        if name in seen:
            environ[name] += ("; " if name == "HTTP_COOKIE" else ",") + value
        elif name:
            seen.add(name)
            environ[name] = value
    return environ


def answer(application: "WSGIApplication", environ: "WSGIEnvironment") -> tuple[int, Headers, bytes]:
    """Return status, headers and body of the application's response."""
    started: list[tuple[str, Headers]] = []
    written: list[bytes] = []

    def start(status: str, headers: Headers, _error: Any = None, /) -> Callable[[bytes], object]:
        started.append((status, headers))
        return written.append

    response = application(environ, start)
    try:
        body = b"".join([*response])
    finally:
        if hasattr(response, "close"):
            response.close()
    status, headers = started[-1]
    return int(status[:3]), headers, b"".join(written) + body


class _Request:
    """A request that was read, on its way through a pool."""

    __slots__ = ("done", "door", "environ", "exchange", "since")

    def __init__(self, door: "Door", environ: "WSGIEnvironment", exchange: Exchange) -> None:
        self.door = door
        self.environ = environ
        self.exchange = exchange
        self.done: asyncio.Future[None] = door.loop.create_future()
        self.since = door.clock()

    def run(self) -> None:
        """Send the application's response."""
        try:
            response = answer(self.door.application, self.environ)
        except BaseException:  # Django answers its own errors: this is a WSGI layer's, or SystemExit
            logger.exception("the application failed")
            response = self.door.refusal(500, self.environ["PATH_INFO"])
        self._send(*response)

    def refuse(self) -> None:
        """Send that it has waited too long."""
        self.door.observe_refusal(self.environ["REQUEST_METHOD"], 503, self.door.clock() - self.since)
        self._send(*self.door.refusal(503, self.environ["PATH_INFO"]))

    def _send(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a response from any thread, and let the request's coroutine end."""
        try:
            self.exchange.response_bytes(status, headers, body)  # granian leaves it out of a HEAD and a 304
        finally:
            self.door.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Door:
    """The RSGI application around a WSGI application.

    `patience` is in seconds; `refusal_page` returns HTML or JSON for a status and a path, or nothing; it must
    not wait, nor `observe_refusal`, which gets method, status and seconds of each refused request. `clock`
    returns seconds, for the queues. The environment of each request has the door at `kikaku.door`, so that a
    view can ask whether a pool hangs.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        *,
        patience: float,
        refusal_page: Callable[[int, str], bytes] = lambda status, path: b"",
        observe_refusal: Callable[[str, int, float], None] = lambda method, status, seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.application = application
        self.patience = patience
        self.refusal_page = refusal_page
        self.observe_refusal = observe_refusal
        self.clock = clock
        self.held = 0  # bytes of bodies in memory
        self.pools = {name: Pool(name, threads, clock=clock) for name, threads in THREADS.items()}
        self.loop: asyncio.AbstractEventLoop

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the pools; granian calls it in the worker process, before the first request."""
        self.loop = loop
        for pool in self.pools.values():
            pool.start()
        self._sweep()

    def _sweep(self) -> None:
        """Refuse what has waited too long, now and every `SWEEP_SECONDS`."""
        self.loop.call_later(SWEEP_SECONDS, self._sweep)
        for pool in self.pools.values():
            pool.refuse_stale()

    def refusal(self, status: int, path: str) -> tuple[int, Headers, bytes]:
        """Return the response that refuses a request for `path`."""
        try:
            return refusal(status, self.refusal_page(status, path))
        except Exception:  # a template that does not render
            logger.exception("the page for %d could not be rendered", status)
            return refusal(status)

    def hung_pools(self) -> list[str]:
        """Return the names of the pools with a request that came more than `HUNG_SECONDS` ago."""
        return [name for name, pool in self.pools.items() if pool.oldest_seconds() > HUNG_SECONDS]

    async def __rsgi__(self, scope: "Scope", exchange: Exchange) -> None:
        """Read a request and let its pool answer it."""
        text = f"{scope.method} {scope.path}?{scope.query_string}"
        rule = next(rule for rule in RULES if rule.pattern.match(text))
        length = scope.headers.get("content-length")
        parts: list[bytes] = []
        began = self.clock()
        try:
            if length not in (None, "0") or "transfer-encoding" in scope.headers:
                await self._read(exchange, parts, int(length) if length else None, rule.limit)
            parts[:] = [b"".join(parts)]  # the pieces are not kept beside the whole
            environ = make_environ(scope, parts[0])
            environ["kikaku.door"] = self
            request = _Request(self, environ, exchange)
            self.pools[rule.pool].put(request)
            await request.done
        except Refused as refused:
            self.observe_refusal(scope.method, refused.status, self.clock() - began)
            exchange.response_bytes(*self.refusal(refused.status, scope.path))
        finally:
            self.held -= sum(map(len, parts))

    async def _read(self, exchange: Exchange, parts: list[bytes], length: int | None, limit: int) -> None:
        """Read a body into `parts`; `length` is what the client announced, if it did.

        Raises:
            Refused: 400 it broke off, 408 it is too slow, 413 it is too large, 503 too much is held already.
        """
        if length is not None and length > DRAINED_BYTES:
            raise Refused(413)
        size = ends = 0
        next_piece = PIECE_BYTES
        last = self.loop.time() + TOTAL_SECONDS
        try:
            async with asyncio.timeout_at(self.loop.time() + self.patience) as deadline:
                async for part in exchange:
                    size += len(part)
                    ends += not part
                    if size <= limit:
                        parts.append(part)
                        self.held += len(part)
                    elif parts:  # it is refused: what was read of it is not needed
                        self.held -= sum(map(len, parts))
                        parts.clear()
                    if size > DRAINED_BYTES or size == length:
                        break  # not read to its end: saves waiting for the empty part
                    if size > SMALL_BYTES and self.held > HELD_BYTES:
                        raise Refused(503)
                    if size >= next_piece:
                        next_piece = size + PIECE_BYTES
                        deadline.reschedule(min(self.loop.time() + self.patience, last))
        except TimeoutError:
            raise Refused(408) from None
        if max(size, length or 0) > limit:
            raise Refused(413)
        if ends > 1 or length not in (None, size):
            raise Refused(400)
