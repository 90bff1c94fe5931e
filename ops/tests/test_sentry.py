"""Sentry gets errors with their route and no personal data; without it, or while it hangs, nothing differs.

A process of its own sends to a server of the test, because the SDK patches Django for good.
"""

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest
from django.conf import settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from kikaku.testing.database import database_environment

TOKEN = "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6"
PERSONAL = (
    TOKEN,
    "hanako",
    "1234-5678",
    "芝公園",
    "tanaka",
    "203.0.113.9",
    "sk_live_51AbCdEf",
    "k" * 32,
    "sessionid",
)

PROCESS = """
import json, logging, sys, time, wsgiref.util
import django
from django.conf import settings
settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
settings.WSGI_LAYERS = []
from kikaku.wsgi import application
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpResponse
from django.urls import path
from kikaku import urls

user = get_user_model()(pk=4711, username="hanako", email="hanako@example.jp")

def broken(request, token):
    address = "東京都港区芝公園"
    request.user = request._cached_user = user
    wanted = f"hanako@example.jp, 03-1234-5678, at /orders/{token}/"
    raise RuntimeError(f"no order for {wanted} with sk_live_51AbCdEf to 〒105-0011 {address}")

def logs(request):
    logging.getLogger("shop").error("the mail to %s failed", "hanako@example.jp")
    return HttpResponse("ok")

def refuse(error):
    def view(request):
        raise error
    return view

urls.urlpatterns[:0] = [
    path("orders/<slug:token>/broken/", broken),
    path("logs/", logs),
    path("gone/", refuse(Http404("x"))),
    path("forbidden/", refuse(PermissionDenied("x"))),
    path("odd/", refuse(SuspiciousOperation("x"))),
]

def get(address):
    answer = []
    environ = {
        "PATH_INFO": address, "QUERY_STRING": "q=tanaka", "REMOTE_ADDR": "203.0.113.9",
        "HTTP_HOST": "127.0.0.1", "HTTP_X_ADMIN_KEY": "k" * 32, "HTTP_COOKIE": "sessionid=abc",
        "HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_REFERER": "http://127.0.0.1/search/?q=tanaka",
    }
    wsgiref.util.setup_testing_defaults(environ)
    began = time.monotonic()
    list(application(environ, lambda status, headers, *_: answer.append(status)))
    return answer[0][:3], time.monotonic() - began

answers = {address: get(address) for address in sys.argv[1:]}
print(json.dumps({
    "statuses": {address: status for address, (status, _) in answers.items()},
    "slowest": max([seconds for _, seconds in answers.values()], default=0),
    "sdk": "sentry_sdk" in sys.modules,
    "ends": time.time(),
}))
"""

JOBS_PROCESS = """
import django
django.setup()
from dataclasses import replace
from django.db import connection
from ops.jobs import schedule
from ops.models import JobRun

with connection.schema_editor() as editor:
    editor.create_model(JobRun)

def fail(now):
    raise RuntimeError("hanako@example.jp")

for name, work in (("prune", lambda now: ""), ("mail", fail), ("daily_close", lambda now: "")):
    schedule.JOBS[name] = replace(schedule.JOBS[name], work=work)
    schedule.run(name)
"""


class Sentry:
    """A server in Sentry's place that keeps the items of envelopes."""

    def __init__(self, server: HTTPServer) -> None:
        self.items: list[tuple[str, Any]] = []
        self.raw = ""
        server.expect_request("/api/42/envelope/", method="POST").respond_with_handler(self._take)
        self.dsn = f"http://public@{server.host}:{server.port}/42"
        self.status = 200

    def _take(self, request: Request) -> Response:
        body = request.get_data()
        decode = {"br": brotli.decompress, "gzip": gzip.decompress}
        text = decode[request.headers["Content-Encoding"]](body).decode()
        self.raw += text
        lines = text.splitlines()
        for header, payload in zip(lines[1::2], lines[2::2], strict=False):
            self.items.append((json.loads(header)["type"], json.loads(payload)))
        return Response("{}", status=self.status, content_type="application/json")

    def of(self, kind: str) -> list[Any]:
        """Return the items of a type."""
        return [item for name, item in self.items if name == kind]


@pytest.fixture
def sentry(httpserver: HTTPServer) -> Sentry:
    """Return a server in Sentry's place."""
    return Sentry(httpserver)


def run(
    tmp_path: Path,
    dsn: str,
    *addresses: str,
    process: str = PROCESS,
    database: dict[str, str] | None = None,
) -> Any:
    """Run a shop's process that answers some requests, or another one; return what it printed as JSON.

    Without the variables of a database it has an empty one.
    """
    finished = subprocess.run(
        [sys.executable, "-c", process, *addresses],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "ENVIRONMENT": "development",
            "DJANGO_SETTINGS_MODULE": "ops.testing.unprepared_settings",
            "KIKAKU_TEST_ROOT": str(tmp_path),
            **(database or {"DATABASE_URL": f"sqlite:///{tmp_path / 'shop.sqlite3'}"}),
            "SENTRY_DSN": dsn,
            "RELEASE": "abc1234",
        },
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1]) if addresses else None


@pytest.mark.django_db(transaction=True)
@pytest.mark.engine_independent
def test_a_report_has_release_route_and_user_id_but_nothing_personal_and_4xx_makes_none(
    tmp_path: Path, sentry: Sentry
) -> None:
    addresses = (f"/orders/{TOKEN}/broken/", "/gone/", "/forbidden/", "/odd/", "/logs/")
    seen = run(tmp_path, sentry.dsn, *addresses, database=database_environment())
    assert list(seen["statuses"].values()) == ["500", "404", "403", "400", "200"]
    error, logged = sorted(sentry.of("event"), key=lambda event: "exception" not in event)
    assert (error["release"], error["environment"]) == ("abc1234", "development")
    assert error["transaction"] == "/orders/{token}/broken/" and logged["transaction"] == "/logs/"
    assert error["user"] == {"id": "4711"} and "id" not in logged.get("user", {})
    assert error["exception"]["values"][-1]["type"] == "RuntimeError"
    assert error["request"]["url"].endswith("/orders/[token]/broken/")
    for secret in PERSONAL:
        assert secret not in sentry.raw, secret


def test_jobs_are_monitors_with_their_schedule_and_outcome(tmp_path: Path, sentry: Sentry) -> None:
    run(tmp_path, sentry.dsn, process=JOBS_PROCESS)
    checks = {(item["monitor_slug"], item["status"]): item for item in sentry.of("check_in")}
    assert set(checks) == {
        ("prune", "in_progress"),
        ("prune", "ok"),
        ("mail", "in_progress"),
        ("mail", "error"),
        ("daily_close", "in_progress"),
        ("daily_close", "ok"),
    }
    ended = checks["mail", "error"]
    assert ended["check_in_id"] == checks["mail", "in_progress"]["check_in_id"]
    assert ended["monitor_config"]["schedule"] == {"type": "interval", "value": 1, "unit": "minute"}
    close = checks["daily_close", "ok"]["monitor_config"]
    assert close["schedule"] == {"type": "crontab", "value": "0 16 * * *"} and close["timezone"] == "UTC"
    [error] = sentry.of("event")
    assert error["transaction"] == "job mail" and "hanako" not in sentry.raw


def test_without_a_dsn_the_sdk_is_not_even_loaded(tmp_path: Path) -> None:
    seen = run(tmp_path, "", "/logs/")
    assert seen["statuses"] == {"/logs/": "200"} and not seen["sdk"]


@pytest.mark.parametrize("fault", ["hangs", "fails"])
def test_a_sentry_in_trouble_changes_nothing(tmp_path: Path, sentry: Sentry, fault: str) -> None:
    sentry.status = 500
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        dsn = sentry.dsn if fault == "fails" else f"http://public@127.0.0.1:{silent.getsockname()[1]}/42"
        seen = run(tmp_path, dsn, *(f"/orders/{TOKEN}{number}/broken/" for number in range(3)), "/logs/")
        ended = time.time()
    assert sorted(seen["statuses"].values()) == ["200", "500", "500", "500"]
    assert seen["slowest"] < 2 and ended - seen["ends"] < 3
