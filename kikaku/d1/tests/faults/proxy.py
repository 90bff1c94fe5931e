"""A small HTTP proxy in front of the engine that injects faults into chosen requests.

A fault is a function that gets one exchange and decides whether and when the request reaches the engine, and
what the client receives. Requests are numbered from 1 since the last `Proxy.plan`.
"""

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIMEOUT = 30.0  # seconds after which a test fails
REASONS = {200: "OK", 204: "No Content", 422: "Unprocessable Content"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the engine, or one that the proxy made."""

    status: int
    body: bytes

    @property
    def content(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    def encoded(self, *, missing: int = 0) -> bytes:
        """Return it as HTTP; the last `missing` bytes are announced but left out."""
        head = (
            f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Whatever')}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body[: len(self.body) - missing]


@dataclass(slots=True)
class Exchange:
    """One request through the proxy."""

    handler: "_Handler"
    body: bytes

    @property
    def proxy(self) -> "Proxy":
        """The proxy of this exchange."""
        return self.handler.server.proxy

    def forward(self) -> Answer:
        """Forward the request to the engine, and return its answer."""
        upstream = HTTPConnection(self.proxy.engine, timeout=TIMEOUT)
        try:
            headers = {name: self.handler.headers[name] or "" for name in ("Authorization", "Content-Type")}
            upstream.request("POST", self.handler.path, body=self.body, headers=headers)
            answer = upstream.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            upstream.close()

    def answer(self, answer: Answer) -> None:
        """Send an answer to the client."""
        self.send(answer.encoded())

    def send(self, raw: bytes) -> None:
        """Send bytes to the client, if it is still connected."""
        try:
            self.handler.connection.sendall(raw)
        except OSError:
            self.handler.close_connection = True

    def hang_up(self) -> None:
        """Close the connection in order."""
        self.handler.close_connection = True

    def reset(self) -> None:
        """Reset the connection: the client gets a RST."""
        self.handler.close_connection = True
        raw = self.handler.connection
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(raw.detach())  # the handler's file objects would keep the socket open

    def wait(self, seconds: float) -> None:
        """Let the client wait."""
        time.sleep(seconds)

    def wait_for_release(self) -> None:
        """Wait until the test releases delayed requests."""
        assert self.proxy.released.wait(TIMEOUT), "a delayed request was not released"

    def forward_when_released(self) -> None:
        """Forward a copy of the request when the test releases it; the proxy works meanwhile."""

        def forward_later() -> None:
            try:
                self.wait_for_release()
                self.forward()
            finally:
                self.proxy.end()

        self.proxy.delay()
        threading.Thread(target=forward_later, daemon=True).start()


Fault = Callable[[Exchange], None]


def pass_on(exchange: Exchange) -> None:
    """Forward the request and its answer."""
    exchange.answer(exchange.forward())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.proxy.opened(self.connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.proxy.begin()
        try:
            fault(Exchange(self, body))
        finally:
            self.server.proxy.end()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, proxy: "Proxy") -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Print nothing: broken connections are intended."""


@dataclass(slots=True)
class Proxy:
    """The proxy in front of an engine (host:port)."""

    engine: str
    port: int = 0
    requests: int = 0  # since the last plan
    busy: int = 0  # requests that have not ended, delayed ones included
    released: threading.Event = field(default_factory=threading.Event)
    _faults: Callable[[int], Fault | None] = field(default=lambda _number: None)
    _server: _Server | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _open: list[socket.socket] = field(default_factory=list)

    def plan(self, faults: Mapping[int, Fault] | Callable[[int], Fault | None]) -> None:
        """Count requests from 1 again, with these faults by request number."""
        self.settle()
        self.released.clear()
        with self._changed:
            self.requests = 0
            self._faults = faults if callable(faults) else faults.get

    def heal(self) -> None:
        """Inject no more faults; delayed requests stay delayed."""
        with self._changed:
            self._faults = lambda _number: None

    def settle(self) -> None:
        """Release delayed requests, and wait until all have ended."""
        self.released.set()
        with self._changed:
            assert self._changed.wait_for(lambda: self.busy == 0, TIMEOUT), "a request has not ended"

    def upcoming(self) -> Fault | None:
        """Return the fault of the next request."""
        with self._changed:
            return self._faults(self.requests + 1)

    def wait_until_counted(self, number: int) -> None:
        """Wait until the request of this number has arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= number, TIMEOUT), "a request is lost"

    def begin(self) -> Fault:
        """Count a request and return its fault."""
        with self._changed:
            self.requests += 1
            self.busy += 1
            self._changed.notify_all()
            return self._faults(self.requests) or pass_on

    def delay(self) -> None:
        """Count a delayed copy of a request."""
        with self._changed:
            self.busy += 1

    def end(self) -> None:
        """Count a request as ended."""
        with self._changed:
            self.busy -= 1
            self._changed.notify_all()

    # ── The server ───────────────────────────────────────────────────────────────────────────────────────

    def opened(self, connection: socket.socket) -> None:
        """Record a client's connection, which `down` closes."""
        with self._changed:
            self._open = [one for one in self._open if one.fileno() >= 0]
            self._open.append(connection)

    def up(self) -> None:
        """Start the server, at the same port as before."""
        self._server = _Server(self.port, self)
        self.port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def down(self) -> None:
        """Stop the server: open connections end, new ones are refused."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._changed:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # already closed
                    continue
            self._open.clear()

    def close(self) -> None:
        """Wait for all requests, and stop the server."""
        self.settle()
        if self._server is not None:
            self.down()
