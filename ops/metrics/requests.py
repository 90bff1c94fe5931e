"""The outermost layer around the application: an id, a log line and a count for each request.

It also sees what the page store answers without Django, which is why it is a WSGI layer and no middleware. A
stored page takes a tenth of a millisecond, so the line is written without the logging framework: it holds no
text of a visitor, only the name of the route.
"""

import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse

from ops.metrics import figures
from shop.pages.store import stored_view

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_ID, ROUTE = "kikaku.request_id", "kikaku.route"  # keys of the environment


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
        request_id = environ[REQUEST_ID] = secrets.token_hex(8)
        status = int(HTTPStatus.INTERNAL_SERVER_ERROR)

        def start(text: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(text[:3])
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                headers = [*headers, ("X-Request-ID", request_id)]
            return start_response(text, headers, *error)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            return self.application(environ, start)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            observe(
                method=environ["REQUEST_METHOD"],
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


def observe(
    *, method: str, route: str, status: int, seconds: float, queries: int = 0, request_id: str = ""
) -> None:
    """Log and count one request. `route` is the name of a view, "" for none; never a path."""
    figures.count(route, status, seconds)
    milliseconds = round(seconds * 1_000, 1)
    if settings.PRODUCTION:
        line = json.dumps(
            {
                "event": "request",
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "level": "info",
                "method": method if method.isalpha() else "?",
                "route": route,
                "status": status,
                "ms": milliseconds,
                "queries": queries,
                "request_id": request_id,
                "release": settings.RELEASE,
            }
        )
    else:
        now = f"{datetime.now():%H:%M:%S}"
        line = f"{now} [request  ] {method} {route or '-'} {status} {milliseconds} ms {queries} queries"
    with suppress(OSError):  # nothing reads the log, or its disk is full
        sys.stderr.write(line + "\n")


def observe_refusal(method: str, status: int, seconds: float) -> None:
    """Log and count a request that the front door refused; `settings.REFUSAL_OBSERVER` names it."""
    observe(method=method, route="", status=status, seconds=seconds)
