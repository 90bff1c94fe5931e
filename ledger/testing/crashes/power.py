"""Power cuts: a child process runs an action and is killed by SIGKILL between two of its steps."""

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

from ledger.testing.histories.actions import Action
from ledger.testing.histories.world import World
from ledger.testing.steps import Step, observe_steps

STABLE_TEXT = re.compile("[a-z_.]*")  # a status or a kind; generated ids have digits or capitals


def kill_points(observed: list[Step]) -> list[tuple[int, str]]:
    """Return the points at which an action with these steps can be killed: number of the step, and a name.

    Nothing is written between the end of one step and the beginning of the next: both are one point.
    """
    return [
        (number, f"{number:03} {step}")
        for number, step in enumerate(observed, start=1)
        if number == 1 or step.when == "after"
    ]


def run_in_child(world: World, action: Callable[[], object], *, database: dict[str, Any]) -> int:
    """Run an action in a child process with these database OPTIONS; return its wait status (0: success)."""
    connections.close_all()
    world.sandbox.close()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            connection.settings_dict["OPTIONS"] = database
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)  # skip the test runner's own exit handlers
    return os.waitpid(child, 0)[1]


def kill_at_step(world: World, action: Action, number: int, *, database: dict[str, Any]) -> None:
    """Run an action in a child process that is killed at step `number`, from 1."""
    count = 0

    def on_step(_step: Step) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def run_until_killed() -> None:
        with observe_steps(on_step):
            action(world)

    status = run_in_child(world, run_until_killed, database=database)
    assert status & 0x7F == signal.SIGKILL, f"ended with {status} before it was killed"


def persistent_state(world: World) -> Counter[Hashable]:
    """Return what would survive a power cut now: our rows, Stripe's, our files, without generated values."""
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
    if isinstance(value, str | bytes) and not (isinstance(value, str) and STABLE_TEXT.fullmatch(value)):
        return len(value)
    return value if isinstance(value, Hashable) else repr(value)
