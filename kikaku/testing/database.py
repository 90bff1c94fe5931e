"""The engine that the tests run on, for those that must know."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


def engine() -> str:
    """Name the engine of the tests' database: `sqlite`, `postgresql` or `d1` (whose `vendor` is SQLite's)."""
    return "d1" if connection.settings_dict["ENGINE"] == "kikaku.d1" else connection.vendor


def on_d1() -> bool:
    """Return whether tests run on D1."""
    return engine() == "d1"


def examples(count: int) -> int:
    """Return how many examples a property tries: by day a third of `count` on PostgreSQL and D1."""
    return count if engine() == "sqlite" or os.environ.get("KIKAKU_NIGHTLY") else -(-count // 3)


def database_environment() -> dict[str, str]:
    """Return the variables with which another process reaches the test's own database."""
    known = connection.settings_dict
    place = f"{known['HOST']}:{known['PORT']}/{known['NAME']}"
    if engine() == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{known['NAME']}"}
    if on_d1():
        return {"DATABASE_URL": f"d1://{place}", "D1_GATEWAY_SECRET": known["PASSWORD"]}
    user = known["USER"] + (f":{known['PASSWORD']}" if known["PASSWORD"] else "")
    return {"DATABASE_URL": f"postgres://{user}@{place}"}


@contextmanager
def rolled_back() -> Iterator[None]:
    """Undo what the block writes. Code that forbids a transaction may run in it, as in a test."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]
    with block:
        yield
        transaction.set_rollback(True)
