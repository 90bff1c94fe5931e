#!/usr/bin/env python3
"""Run the tests: `make test`, `make test DB=postgres` or `DB=d1`, `make test ARGS="ledger -x"`.

The tests share all processors and run in a random order; the seed is printed first, and
`ARGS="--randomly-seed=…"` repeats it. PostgreSQL and D1 run what touches the database,
unless ARGS choose tests by a path or a marker.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import stripe_spec
from d1 import EngineUnavailable, temporary_engine
from postgres import NoPostgres, temporary_server

ROOT = Path(__file__).resolve().parent.parent
MAX_PROCESSES = 16
SERIAL = ("-n", "--numprocesses", "--dist", "--pdb", "--trace", "-s", "--capture=no", "no:xdist")
# what is worth running on each engine: the browser's pages are the same on PostgreSQL
WORTHWHILE = {"sqlite": [], "postgres": ["-m", "database and not browser"], "d1": ["-m", "database"]}


@contextlib.contextmanager
def database(engine: str) -> Iterator[dict[str, str]]:
    """Yield the environment variables of the wanted engine, which runs meanwhile."""
    if engine == "postgres":
        with temporary_server() as url:
            yield {"DATABASE_URL": url}
    elif engine == "d1":
        # each further process of pytest starts an engine of its own (conftest.py)
        with temporary_engine(["kikaku", "test_kikaku"]) as running:
            yield running.environment("kikaku")
    else:
        yield {}


def processes(arguments: Sequence[str]) -> list[str]:
    """Return the options that share the tests among the processors; none for one file or when ARGS decide."""
    count = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        MAX_PROCESSES,
    )
    own_choice = any(argument.startswith(SERIAL) for argument in arguments)
    files = [argument for argument in arguments if ".py" in argument and not argument.startswith("-")]
    if count == 1 or own_choice or len(files) == 1:
        return []
    return ["-n", str(count), "--dist", "loadgroup"]


def chooses_tests(arguments: Sequence[str]) -> bool:
    """Return whether ARGS name a marker or a path."""
    return any(
        argument.startswith("-m") or (ROOT / argument.partition("::")[0]).exists() for argument in arguments
    )


def main() -> int:
    """Fetch what tests need, start the engine and run pytest; return its exit status."""
    engine, arguments = os.environ.get("DB") or "sqlite", sys.argv[1:]
    if engine not in WORTHWHILE:
        print(f"DB must be sqlite, postgres or d1, not {engine!r}.", file=sys.stderr)
        return 1
    if reason := stripe_spec.fetch():
        print(reason, file=sys.stderr)
    command = [sys.executable, "-m", "pytest", *processes(arguments), *arguments]
    if not chooses_tests(arguments):
        command += WORTHWHILE[engine]
    if os.environ.get("COVERAGE"):
        command += ["--cov", "--cov-branch", "--cov-report=term:skip-covered"]
    try:
        with database(engine) as extra:
            print(f"Tests on {engine}", flush=True)
            return subprocess.call(
                command, cwd=ROOT, env={**os.environ, "ENVIRONMENT": "development", **extra}
            )
    except NoPostgres as error:
        print(f"The tests cannot run on PostgreSQL: {error}.", file=sys.stderr)
        return 1
    except EngineUnavailable as error:
        print(f"The tests cannot run on D1: {error}.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
