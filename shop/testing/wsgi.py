"""Requests to a WSGI application as a web server sends them; Django's test client skips WSGI layers."""

import gzip
import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class Response:
    """A response."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def page(self) -> str:
        """Return the text, decompressed."""
        packed = self.headers.get("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode()

    @property
    def tag(self) -> str:
        """Return the ETag."""
        return self.headers["etag"]


class CountingApplication:
    """An application that counts its requests and keeps the last one."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application
        self.requests = 0
        self.last_environ: WSGIEnvironment = {}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Any:
        """Count the request and pass it on."""
        self.requests += 1
        self.last_environ = environ
        return self.application(environ, start_response)


def ask(application: "WSGIApplication", address: str, method: str = "GET", **headers: str) -> Response:
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
    return Response(status, {name.lower(): value for name, value in given}, body)
