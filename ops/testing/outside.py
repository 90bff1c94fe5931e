"""What is outside the shop, on real sockets: Slack, Sentry, a mail server. Each keeps what it was sent."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from kikaku.testing.ports import find_free_ports


class Mailbox:
    """An SMTP server on 127.0.0.1 that keeps each mail."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.port = find_free_ports()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail; aiosmtpd calls it."""
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def close(self) -> None:
        """End the server."""
        with suppress(Exception):
            self._controller.stop(no_assert=True)


class HttpPart:
    """An HTTP server on 127.0.0.1 that answers 200 and keeps the body of each request."""

    def __init__(self, answer: str) -> None:
        self.bodies: list[bytes] = []
        self._answer = answer
        self._lock = threading.Lock()
        self._server = HTTPServer(host="127.0.0.1", port=0, threaded=True)
        self._server.expect_request("/", method="POST").respond_with_handler(self._keep)
        for path in ("/services/T0/B0/x", "/api/1/envelope/"):
            self._server.expect_request(path, method="POST").respond_with_handler(self._keep)
        self._server.start()

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._server.port)

    def _keep(self, request: Request) -> Response:
        with self._lock:
            self.bodies.append(request.get_data())
        return Response(self._answer, content_type="text/plain")

    def close(self) -> None:
        """End the server."""
        self._server.stop()


class Slack(HttpPart):
    """Slack's incoming webhook."""

    PATH = "/services/T0/B0/x"

    def __init__(self) -> None:
        super().__init__("ok")

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages that it got, oldest first."""
        return [json.loads(body) for body in self.bodies]

    def texts(self) -> list[str]:
        """Return each message as one line with all its words."""
        return [json.dumps(message, ensure_ascii=False) for message in self.messages()]


class Sentry(HttpPart):
    """Sentry's endpoint for envelopes."""

    PATH = "/1"

    def __init__(self) -> None:
        super().__init__("{}")


def wait_for(condition: Callable[[], Any], *, seconds: float) -> Any:
    """Return the condition's value as soon as it is true; its last value when the time is over."""
    over = threading.Event()
    timer = threading.Timer(seconds, over.set)
    timer.daemon = True
    timer.start()
    while not (value := condition()) and not over.wait(0.1):
        pass
    timer.cancel()
    return value
