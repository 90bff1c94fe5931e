"""Runs the self-test: every assumption in turn, then how long a round trip takes."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db import DatabaseError

from ..transport import Denied, Refused, Silence
from ..values import Statement
from . import batches, blocks, guards, sql, values
from .scratch import NOTE, Assumption, DoesNotHold, Scratch, Unreachable, said, shortened

# in the order in which the backend is built
ASSUMPTIONS = [
    *batches.ASSUMPTIONS,
    *guards.ASSUMPTIONS,
    *values.ASSUMPTIONS,
    *sql.ASSUMPTIONS,
    *blocks.ASSUMPTIONS,
]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a database said to one assumption."""

    name: str
    holds: bool
    seen: str
    otherwise: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long something takes, from here to the database and back."""

    name: str
    times: int
    median_ms: float
    slowest_ms: float


def reach(db: Scratch) -> None:
    """Ask for nothing but an answer. Raises `Unreachable`."""
    try:
        answer = db.transport.batch([Statement("SELECT 1 AS one")], repeatable=True)
    except (Denied, Silence, Refused) as error:
        raise Unreachable(str(error)) from None
    if answer[0].rows != [[1]]:
        raise Unreachable(f"The answer to SELECT 1 is {shortened(repr(answer[0].rows))}.")


def examine(db: Scratch, assumption: Assumption) -> Finding:
    """Test one assumption. Raises `Unreachable` when the database has gone meanwhile."""
    began = time.perf_counter()
    try:
        db.clear()
        holds, seen = True, assumption.test(db)
    except DoesNotHold as error:
        holds, seen = False, str(error)
    except (Refused, sqlite3.Error, DatabaseError) as error:
        holds, seen = False, f"D1 says {said(error)}"
    except (Denied, Silence) as error:
        reach(db)
        holds, seen = False, f"no answer: {said(error)}"
    except (ValueError, LookupError, TypeError) as error:
        holds, seen = False, f"an answer that can not be read ({type(error).__name__})"
    return Finding(assumption.name, holds, shortened(seen), assumption.otherwise, time.perf_counter() - began)


def latencies(db: Scratch) -> Iterator[Latency]:
    """Measure what a page is made of, on fresh scratch tables. Raises `Unreachable`."""
    db.prepare()
    update = Statement(f"UPDATE {NOTE} SET said='x' WHERE id=1")
    insert = f"INSERT INTO {NOTE}(id, said) VALUES (%s, 'x')"
    connection, numbers = db.dbapi, iter(range(1_000_000, 2_000_000))

    def in_block(act: Callable[[], Any], prepare: Callable[[], Any] = lambda: None) -> float:
        connection.autocommit = False
        try:
            prepare()
            return _seconds(act)
        finally:
            connection.autocommit = True

    def write() -> None:
        connection.cursor().execute(insert, [next(numbers)])

    measures: list[tuple[str, int, Callable[[], float]]] = [
        ("SELECT 1", 25, lambda: _seconds(lambda: reach(db))),
        ("a batch of 25 small statements", 10, lambda: _seconds(lambda: db.results(*[update] * 25))),
        ("a write within a block", 10, lambda: in_block(write)),
        ("COMMIT of one write", 10, lambda: in_block(connection.commit, prepare=write)),
    ]
    for name, times, measure in measures:
        try:
            seconds = [measure() for _time in range(times)]
        except (Denied, Silence, Refused, sqlite3.Error, DatabaseError):
            reach(db)  # a database of which something does not hold may refuse: no figure then
            continue
        yield Latency(name, times, round(median(seconds) * 1000, 2), round(max(seconds) * 1000, 2))


def _seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
