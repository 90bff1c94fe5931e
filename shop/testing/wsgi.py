"""Ask a WSGI application as a web server does: no test client between, whose handler would skip the layers outside."""

import gzip
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def page(self) -> str:
        """The text, unpacked."""
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()

    @property
    def tag(self) -> str:
        """The ETag."""
        return self.headers["etag"]


class Counted:
    """An application that knows how often it was asked, and how last."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application
        self.asked = 0
        self.last: WSGIEnvironment = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        """Count and pass on."""
        self.asked += 1
        self.last = environ
        return self.application(environ, start_response)


def ask(application: "WSGIApplication", address: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request; headers are named as in WSGI without the HTTP_ (COOKIE, IF_NONE_MATCH)."""
    path, _mark, query = address.partition("?")
    started: list[tuple[int, list[tuple[str, str]]]] = []

    def start(status: str, given: list[tuple[str, str]], _error: Any = None, /) -> Any:
        started.append((int(status.split()[0]), given))

    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    } | {f"HTTP_{name}": value for name, value in headers.items()}
    answer = application(environ, start)
    try:
        body = b"".join(answer)
    finally:
        if hasattr(answer, "close"):
            answer.close()
    status, given = started[-1]
    return Answer(status, {name.lower(): value for name, value in given}, body)
