"""HTTP server of the stand-in, on the loopback interface only."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kikaku.sandbox.errors import ApiError
from kikaku.sandbox.http import MAX_BODY_BYTES, Request, Response, json_bytes, json_response
from kikaku.sandbox.standin import Sandbox

LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
DELIVERY_POLL_SECONDS = 0.25
IDLE_CONNECTION_SECONDS = 60

logger = logging.getLogger(__name__)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self.sandbox = sandbox
        super().__init__((host, port), _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.sandbox.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("A connection broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "KikakuSandbox"
    sys_version = ""
    timeout = IDLE_CONNECTION_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        length = self._content_length()
        if length is None:
            return
        request = Request(self.command, self.path, dict(self.headers.items()), self.rfile.read(length))
        response = self.server.sandbox.handle(request)
        self._send(response)
        logger.info("%s %s → %s", self.command, self.path.partition("?")[0], response.status)

    do_GET = do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _content_length(self) -> int | None:
        """Return the length of the body; None if it was refused, which also closes the connection."""
        header = self.headers.get("Content-Length", "0")
        refusal = None
        if self.headers.get("Transfer-Encoding"):
            refusal = ApiError(411, "Send a Content-Length; chunked bodies are not supported.")
        elif not (header.isascii() and header.isdecimal()):
            refusal = ApiError(400, "Invalid Content-Length.")
        elif int(header) > MAX_BODY_BYTES:
            refusal = ApiError(413, f"The request body exceeds {MAX_BODY_BYTES:,} bytes.")
        if refusal is None:
            return int(header)
        self.close_connection = True
        self._send(json_response(refusal.status, json_bytes(refusal.body()), Connection="close"))
        return None

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        response.headers.setdefault("Date", self.date_time_string())
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing: `_serve` logs one line per request, without the query."""


@contextlib.contextmanager
def running(sandbox: Sandbox, port: int = 0, *, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve and deliver events in threads during a `with` block; yield the address.

    With port 0 the system chooses the port, and `sandbox.base_url` is set to it.

    Raises:
        ValueError: `host` is not the loopback interface.
        OSError: the port is taken.
    """
    if host not in LOOPBACK_HOSTS:
        raise ValueError(f"The stand-in serves 127.0.0.1 only, not {host}.")
    server = _Server(sandbox, host, port)
    address = f"http://{host}:{server.server_address[1]}"
    if port == 0:
        sandbox.base_url = address
    stopping = threading.Event()
    threads = [
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="sandbox"
        ),
        threading.Thread(target=_deliver, args=(sandbox, stopping), daemon=True, name="sandbox-webhooks"),
    ]
    for thread in threads:
        thread.start()
    try:
        yield address
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join(timeout=5)


def serve(sandbox: Sandbox, port: int, *, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM or Ctrl-C, then stop cleanly.

    Raises:
        ValueError: `host` is not the loopback interface.
        OSError: the port is taken.
    """
    stop = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread:
        previous = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        with running(sandbox, port, host=host) as address:
            logger.info("Stripe stand-in on %s, webhooks to %s", address, sandbox.webhook_url or "nowhere")
            with contextlib.suppress(KeyboardInterrupt):
                while not stop.wait(0.5):
                    pass
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)


def _deliver(sandbox: Sandbox, stopping: threading.Event) -> None:
    """Run due tasks and deliver events a few times a second; an error does not end the loop."""
    while not stopping.wait(DELIVERY_POLL_SECONDS):
        try:
            if sandbox.webhook_url is None:
                sandbox.expire_due()
            else:
                sandbox.deliver_due()
        except Exception:
            logger.exception("Delivering webhooks failed; trying again")
    sandbox.close()
