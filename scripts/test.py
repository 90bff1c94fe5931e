#!/usr/bin/env python3
"""Run the tests: `make test`, `make test DB=postgres` or `DB=d1`, `make test ARGS="ledger -x"`, `COVERAGE=1 make test`."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import stripe_spec
from d1 import EngineUnavailable, temporary_engine
from postgres import NoPostgres, temporary_server

ROOT = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def database(engine: str) -> Iterator[dict[str, str]]:
    """Give the environment of the wanted engine."""
    if engine == "postgres":
        with temporary_server() as url:
            yield {"DATABASE_URL": url}
    elif engine == "d1":
        # bindings are static: the test database, and one more for tests that need a second shop beside it
        with temporary_engine(["kikaku", "test_kikaku", "test_other"]) as running:
            yield running.environment("kikaku")
    else:
        yield {}


def main() -> int:
    """Fetch what tests need, then let pytest speak."""
    engine = os.environ.get("DB", "sqlite")
    if engine not in ("sqlite", "postgres", "d1"):
        print(f"DB must be sqlite, postgres or d1, not {engine!r}.", file=sys.stderr)
        return 1
    if reason := stripe_spec.fetch():
        print(reason, file=sys.stderr)
    command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
    if os.environ.get("COVERAGE"):
        command += ["--cov", "--cov-branch", "--cov-report=term:skip-covered"]
    try:
        with database(engine) as extra:
            print(f"Tests on {engine}", flush=True)
            return subprocess.call(
                command, cwd=ROOT, env={**os.environ, "ENVIRONMENT": "development", **extra}
            )
    except NoPostgres as error:
        print(f"The tests can not run on PostgreSQL: {error}.", file=sys.stderr)
        return 1
    except EngineUnavailable as error:
        print(f"The tests can not run on D1: {error}.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
