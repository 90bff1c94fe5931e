"""The outermost layer around the application: an id, a log line and a count for each request.

It also sees what the page store answers without Django, which is why it is a WSGI layer and no middleware. A
stored page takes less than a tenth of a millisecond, so the line is put together and written without the
logging framework: it holds no text of a visitor, only the name of the route.
"""

import itertools
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse

from kikaku.client_address import proven_address
from ops.logs.setup import current_request
from ops.metrics import figures
from shop.pages.store import stored_view

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PRODUCTION, RELEASE = settings.PRODUCTION, settings.RELEASE
REQUEST_ID, ROUTE = "kikaku.request_id", "kikaku.route"  # keys of the environment
LINE = (
    '{"event": "request", "timestamp": "%s.%03dZ", "level": "info", "method": "%s", "route": "%s", '
    '"status": %d, "ms": %.1f, "queries": %d, "request_id": "%s", "release": "%s"}\n'
)
READABLE_LINE = "%s [request  ] %s %s %d %.1f ms %d queries request_id=%s\n"
SERVER_ERROR = 500  # a member of http.HTTPStatus takes up to a microsecond to look up
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
RAY = re.compile(r"([0-9a-f]{16})(?:-[A-Z]{3})?")  # Cloudflare's id of a request, and its data centre
_second: tuple[int, str] = (0, "")  # the last second of a line, and its text


class _Ids:
    """Ids of requests: a random prefix of the process, and a number."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._prefix = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    def new(self) -> str:
        """Return the next id."""
        return f"{self._prefix}{next(self._numbers):06x}"


_ids = _Ids()


class _Queries(threading.local):
    """The number of queries that this thread has made."""

    count = 0


_queries = _Queries()


def _count_query(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    _queries.count += 1
    return execute(sql, params, many, context)


def _count_queries(connection: Any, **_: Any) -> None:
    """Count the queries of a connection that was opened."""
    if _count_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_count_query)


class RequestLog:
    """A WSGI application that logs and counts each request of another."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application
        connection_created.connect(_count_queries, dispatch_uid="ops.metrics.requests")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Return the application's response; its line is written when the application has made it."""
        began, queries = time.perf_counter(), _queries.count
        request_id = environ[REQUEST_ID] = _ray_of(environ) or _ids.new()
        status = SERVER_ERROR

        def start(text: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(text[:3])
            if status >= SERVER_ERROR:
                headers = [*headers, ("X-Request-ID", request_id)]
            return start_response(text, headers, *error)

        token = current_request.set(request_id)
        try:
            return self.application(environ, start)
        finally:
            current_request.reset(token)
            observe(
                method=_method_of(environ),
                route=environ.get(ROUTE) or stored_view(environ["PATH_INFO"]) or "",
                status=status,
                seconds=time.perf_counter() - began,
                queries=_queries.count - queries,
                request_id=request_id,
            )


class RouteMiddleware:
    """Middleware that tells the layer around Django which route has answered."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        response = self.get_response(request)
        match = request.resolver_match
        if match is not None:
            request.META[ROUTE] = match.view_name or match.route
        return response


def _ray_of(environ: "WSGIEnvironment") -> str:
    """Return Cloudflare's id of a request that proves to come through our Worker; "" for another."""
    found = RAY.fullmatch(environ.get("HTTP_CF_RAY", ""))
    return found[1] if found is not None and proven_address(environ, now=time.time()) else ""


def _method_of(environ: "WSGIEnvironment") -> str:
    method: str = environ["REQUEST_METHOD"]
    return method if method in METHODS else "OTHER"


def observe(
    *, method: str, route: str, status: int, seconds: float, queries: int = 0, request_id: str = ""
) -> None:
    """Log and count one request. `route` is the name of a view, "" for none; never a path."""
    figures.count(route, status, seconds)
    milliseconds = seconds * 1_000
    now = time.time()
    if PRODUCTION:
        parts = (method, route, status, milliseconds, queries, request_id, RELEASE)
        line = LINE % (_text_of(int(now)), now % 1 * 1_000, *parts)
    else:
        at = time.strftime("%H:%M:%S", time.localtime(now))
        line = READABLE_LINE % (at, method, route or "-", status, milliseconds, queries, request_id or "-")
    with suppress(OSError):  # nothing reads the log, or its disk is full
        sys.stderr.write(line)


def _text_of(second: int) -> str:
    """Return a second since 1970 as UTC, which is put together once a second."""
    global _second
    known, text = _second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = (second, text)
    return text


def observe_refusal(method: str, status: int, seconds: float) -> None:
    """Log and count a request that the front door refused; `settings.REFUSAL_OBSERVER` names it."""
    observe(method=method if method in METHODS else "OTHER", route="", status=status, seconds=seconds)
