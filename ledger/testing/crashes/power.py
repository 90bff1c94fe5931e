"""Cutting the power: a child process does something and is killed by SIGKILL between two of its steps."""

import os
import re
import signal
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import closing
from typing import Any

from django.db import connection, connections

from ledger.testing.histories.world import World
from ledger.testing.steps import Step, steps

Deed = Callable[[World], object]
WORD = re.compile("[a-z_.]*")  # a state or a kind; what chance made has digits and capitals, and its length


def points(seen: list[Step]) -> list[tuple[int, str]]:
    """Give the points at which a deed of these steps can be cut: how many of them have been told by then, and a name.

    Between the end of one step and the beginning of the next nothing leaves a trace: they are one point.
    """
    return [
        (number, f"{number:03} {step}")
        for number, step in enumerate(seen, start=1)
        if number == 1 or step.when == "after"
    ]


def in_a_child(world: World, deed: Callable[[], object], *, database: dict[str, Any]) -> int:
    """Do something in a process of its own, with these database OPTIONS; gives its wait status, 0 when it went well."""
    connections.close_all()
    world.sandbox.close()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            connection.settings_dict["OPTIONS"] = database
            deed()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)  # the test runner's own end of process is not ours to run
    return os.waitpid(child, 0)[1]


def cut(world: World, deed: Deed, number: int, *, database: dict[str, Any]) -> None:
    """Let a child do it, and kill it when it has come to step `number`, from 1."""
    told = 0

    def on_step(_step: Step) -> None:
        nonlocal told
        told += 1
        if told == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def until_then() -> None:
        with steps(on_step):
            deed(world)

    status = in_a_child(world, until_then, database=database)
    assert status & 0x7F == signal.SIGKILL, f"ended with {status} before it was killed"


def traces(world: World) -> Counter[Hashable]:
    """Give all that would survive a power cut now: our rows, Stripe's, our files; without what chance made of it."""
    found: Counter[Hashable] = Counter()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            if table.startswith("ledger_"):
                cursor.execute(f'SELECT * FROM "{table}"')
                found.update((table, *map(_plain, row)) for row in cursor.fetchall())
    with closing(sqlite3.connect(f"file:{world.sandbox.state_path}?mode=ro", uri=True)) as db:
        for table in ("objects", "agenda", "deliveries", "idempotency"):
            found.update((table, *map(_plain, row)) for row in db.execute(f"SELECT * FROM {table}"))
    files = [path for path in (world.folder / "files").rglob("*") if path.is_file()]
    found.update((str(path.relative_to(world.folder)), path.stat().st_size) for path in files)
    return found


def _plain(value: Any) -> Hashable:
    if isinstance(value, str | bytes) and not (isinstance(value, str) and WORD.fullmatch(value)):
        return len(value)
    return value if isinstance(value, Hashable) else repr(value)
