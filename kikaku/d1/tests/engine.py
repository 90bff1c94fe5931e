"""Cloudflare's D1 engine in tests, and plain requests to our gateway in front of it."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kikaku.d1 import address
from kikaku.d1.base import DatabaseWrapper
from kikaku.testing import engine_missing

if TYPE_CHECKING:
    from d1 import Engine

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "d1.py"


@cache
def script() -> ModuleType:
    """Return `scripts/d1.py` as a module: the folder is on no path."""
    spec = spec_from_file_location("kikaku_scripts_d1", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def need_engine() -> None:
    """Go on where the machine can carry an engine; else the test is skipped with the reason."""
    try:
        script().install()
        script().node_and_npm()
    except script().NoD1 as error:
        engine_missing(str(error))


@contextmanager
def running_engine(databases: Sequence[str], persist: Path | None = None) -> Iterator["Engine"]:
    """Run an engine, where the machine can carry one."""
    need_engine()
    with script().temporary_engine(databases, persist=persist) as engine:
        yield engine


class Gateway:
    """One kept connection to an engine's gateway, as anybody could open it."""

    def __init__(self, engine: "Engine") -> None:
        self.engine = engine
        self.connection = HTTPConnection(engine.address, timeout=30)

    def send(
        self,
        body: bytes,
        *,
        path: str = "/v1/first",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send bytes, with the right secret unless `headers` are given; return status and what the JSON says."""
        if headers is None:
            headers = {"Authorization": f"Bearer {self.engine.secret}"}
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(text)

    def ask(self, body: Any, **options: Any) -> tuple[int, Any]:
        """Send a JSON body."""
        return self.send(json.dumps(body).encode(), **options)

    def run(self, *statements: Any) -> Any:
        """Run one batch, which must succeed; return the rows of each statement."""
        status, answer = self.ask({"batch": [[one] if isinstance(one, str) else one for one in statements]})
        assert status == 200, answer
        return [result["rows"] for result in answer["results"]]

    def refused(self, *statements: Any) -> str:
        """Run one batch, which D1 must refuse; return its text."""
        status, answer = self.ask({"batch": [[one] if isinstance(one, str) else one for one in statements]})
        assert status == 422, answer
        assert list(answer) == ["error"]
        return str(answer["error"])


def wrapper(engine: "Engine", database: str, alias: str, **options: Any) -> DatabaseWrapper:
    """Return Django's connection to one of an engine's databases."""
    entry = address.database(engine.url(database), gateway_secret=engine.secret, api_token="")
    defaults = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "CONN_HEALTH_CHECKS": False, "TIME_ZONE": None}
    options = {**entry["OPTIONS"], **options}
    return DatabaseWrapper({**defaults, **entry, "OPTIONS": options, "TEST": {"NAME": None}}, alias)
