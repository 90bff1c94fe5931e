"""Cloudflare's D1 engine in tests, which are skipped where it cannot run (see `need_engine`)."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connections

from .. import address
from ..base import DatabaseWrapper
from ..engine import Engine, EngineUnavailable, install, node_and_npm, temporary_engine


def need_engine() -> None:
    """Skip the running test with the reason where the machine cannot run an engine.

    With the environment variable `D1_REQUIRE_ENGINE` the test fails instead, for a CI that must not skip.
    """
    try:
        install()
        node_and_npm()
    except EngineUnavailable as error:
        if os.environ.get("D1_REQUIRE_ENGINE"):
            pytest.fail(f"D1_REQUIRE_ENGINE is set, but {error}", pytrace=False)
        pytest.skip(str(error))


@contextmanager
def running_engine(databases: Sequence[str], persist: Path | None = None) -> Iterator[Engine]:
    """Run an engine for tests; skip them where the machine cannot run one."""
    need_engine()
    with temporary_engine(databases, persist=persist) as engine:
        yield engine


def connect(url: str, secret: str = "s" * 40, **test: Any) -> DatabaseWrapper:
    """Return a connection as DATABASE_URL makes it; `test` are its `TEST` settings."""
    settings = address.database(url, gateway_secret=secret, api_token="token")
    return DatabaseWrapper(
        connections.configure_settings({"default": {**settings, "TEST": test}})["default"], "shop"
    )


def wrapper(engine: Engine, database: str, alias: str, **options: Any) -> DatabaseWrapper:
    """Return a Django connection to one of an engine's databases."""
    entry = address.database(engine.url(database), gateway_secret=engine.secret, api_token="")
    defaults = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "CONN_HEALTH_CHECKS": False, "TIME_ZONE": None}
    options = {**entry["OPTIONS"], **options}
    return DatabaseWrapper({**defaults, **entry, "OPTIONS": options, "TEST": {"NAME": None}}, alias)


@contextmanager
def default_database(engine: Engine, database: str) -> Iterator[DatabaseWrapper]:
    """Make one of an engine's databases the default one in this context, and return its connection."""
    from django.contrib.contenttypes.models import ContentType  # only where the app is installed

    usual = connections[DEFAULT_DB_ALIAS]
    connection = connections[DEFAULT_DB_ALIAS] = wrapper(engine, database, DEFAULT_DB_ALIAS)
    try:
        ContentType.objects.clear_cache()
        yield connection
    finally:
        connection.close()
        connections[DEFAULT_DB_ALIAS] = usual
        ContentType.objects.clear_cache()


# `manage.py` with another default database than the settings name
_MANAGE = """
import json, os, sys
from django.conf import settings
from django.core.management import execute_from_command_line
settings.DATABASES["default"] = json.loads(os.environ["D1_TEST_DATABASE"])
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


def manage(engine: Engine, database: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return command and environment of a `manage.py` whose default database is one of an engine's.

    The settings are those of the running tests (DJANGO_SETTINGS_MODULE).
    """
    entry = address.database(engine.url(database), gateway_secret=engine.secret, api_token="")
    environment = {
        **os.environ,
        "D1_TEST_DATABASE": json.dumps(entry),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return [sys.executable, "-c", _MANAGE, *arguments], environment


class GatewayClient:
    """A plain HTTP client of an engine's gateway; each request has its own connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def send(
        self,
        body: bytes,
        *,
        path: str = "/v1/first",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send bytes, by default with the right secret; return the status and the decoded JSON."""
        if headers is None:
            headers = {"Authorization": f"Bearer {self.engine.secret}"}
        # the engine closes idle connections, and a request on one that was just closed fails
        with closing(HTTPConnection(self.engine.address, timeout=30)) as connection:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(text)

    def ask(self, body: Any, **options: Any) -> tuple[int, Any]:
        """Send a JSON body; return the status and the decoded answer."""
        return self.send(json.dumps(body).encode(), **options)

    def run(self, *statements: Any) -> Any:
        """Run one batch, which must succeed; return the rows of each statement."""
        status, answer = self.ask({"batch": [[one] if isinstance(one, str) else one for one in statements]})
        assert status == 200, answer
        return [result["rows"] for result in answer["results"]]

    def refused(self, *statements: Any) -> str:
        """Run one batch, which D1 must refuse; return its error text."""
        status, answer = self.ask({"batch": [[one] if isinstance(one, str) else one for one in statements]})
        assert status == 422, answer
        assert list(answer) == ["error"]
        return str(answer["error"])
