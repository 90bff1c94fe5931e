"""The work to analyse: processes append to lists and read them, at random, and record what they saw."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TextIO

from django.db import connection, transaction

from ... import CommitUnknown, TransactionConflict
from ...testing.processes import WaitForAll
from .blocks import Level, block, run
from .choices import SCALE, choices
from .history import Append, Operation, Outcome, Read, Transaction, to_line
from .tables import Column

KEYS = (1, 2, 3)
TRANSACTIONS = 70 * SCALE  # of each process
MAX_OPERATIONS = 5  # of a transaction


@dataclass(frozen=True)
class Lists:
    """A way to store lists in a database."""

    append: Callable[[int, int], object]
    read: Callable[[int], tuple[int, ...]]


def _append_to_column(key: int, value: int) -> None:
    run("UPDATE isolation_column SET items = items || %s WHERE id = %s", [f",{value}", key])


def _read_column(key: int) -> tuple[int, ...]:
    [(items,)] = run("SELECT items FROM isolation_column WHERE id = %s", [key])
    return tuple(int(item) for item in items.split(",")[1:])


def _append_row(key: int, value: int) -> None:
    run("INSERT INTO isolation_item (key, value) VALUES (%s, %s)", [key, value])


def _read_rows(key: int) -> tuple[int, ...]:
    return tuple(
        value for (value,) in run("SELECT value FROM isolation_item WHERE key = %s ORDER BY id", [key])
    )


LISTS = {"column": Lists(_append_to_column, _read_column), "rows": Lists(_append_row, _read_rows)}


def prepare() -> None:
    """Create the lists, empty."""
    for key in KEYS:
        Column.objects.create(pk=key)


def final(lists: Lists) -> dict[int, tuple[int, ...]]:
    """Return all lists, after all writers have ended."""
    return {key: lists.read(key) for key in KEYS}


def work(lists: Lists, level: Level, file: Path) -> Callable[[int, WaitForAll], None]:
    """Return the job of each process; its history is written to `file` plus the process's number."""

    def job(number: int, wait_for_all: WaitForAll) -> None:
        with file.with_name(f"{file.name}{number}").open("w") as history:
            worker = _Worker(lists, level, number, choices(number), history)
            run("SELECT 1")  # connect
            wait_for_all()
            for _transaction in range(TRANSACTIONS):
                worker.transaction()

    return job


class _RolledBack(Exception):
    """Raised to roll back a block or a savepoint."""


@dataclass
class _Worker:
    lists: Lists
    level: Level
    number: int
    random: Random
    history: TextIO
    appended: int = 0

    def transaction(self) -> None:
        """Run one transaction of a random kind."""
        kind = self.random.random()
        # PostgreSQL would use another level, and report no conflicts
        if kind < 0.15 and connection.vendor != "postgresql":
            with self._recorded() as done:
                self._operation(done)
            return
        with self._recorded() as done, block(self.level):
            for _operation in range(self.random.randint(1, MAX_OPERATIONS)):
                if self.random.random() < 0.1:
                    self._savepoint(done)
                self._operation(done)
            if kind > 0.9:
                raise _RolledBack

    def _operation(self, done: list[Operation]) -> None:
        if self.random.random() < 0.5:
            self._read(done)
        else:
            self._append(done)

    def _read(self, done: list[Operation]) -> None:
        key = self.random.choice(KEYS)
        done.append(Read(key, self.lists.read(key)))

    def _append(self, done: list[Operation]) -> None:
        self.appended += 1
        append = Append(self.random.choice(KEYS), self.number * 1_000_000 + self.appended)
        done.append(append)  # before it runs: every value that is read must have a writer in the history
        self.lists.append(append.key, append.value)

    def _savepoint(self, done: list[Operation]) -> None:
        """Do something in a savepoint and roll it back: in the history it is an aborted transaction.

        What it read before it wrote belongs to the block, which has seen it.
        """
        with self._recorded() as rolled_back, transaction.atomic():
            self._read(done)
            self._append(rolled_back)
            self._operation(rolled_back)
            raise _RolledBack

    @contextmanager
    def _recorded(self) -> Iterator[list[Operation]]:
        """Record what is done in this context, and how it ended."""
        done: list[Operation] = []
        outcome: Outcome = "aborted"
        begin = time.monotonic_ns()
        try:
            with suppress(_RolledBack):
                yield done
                outcome = "ok"
        except TransactionConflict:
            if transaction.get_connection().in_atomic_block:
                raise  # of the savepoint: its block cannot go on
        except CommitUnknown:
            outcome = "unknown"
        finally:
            record = Transaction(self.number, begin, time.monotonic_ns(), outcome, tuple(done))
            print(to_line(record), file=self.history)
