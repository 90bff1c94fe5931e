"""Run the self-test: every assumption in turn, then the latencies."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from django.db import DatabaseError

from ..transport import AccessDenied, D1Error, NoAnswer
from ..values import Statement
from . import batches, blocks, guards, sql, values
from .scratch import NOTE, Assumption, DoesNotHold, Scratch, Unreachable, message_of, shortened

# each group depends on those before it
ASSUMPTIONS = [
    *batches.ASSUMPTIONS,
    *guards.ASSUMPTIONS,
    *values.ASSUMPTIONS,
    *sql.ASSUMPTIONS,
    *blocks.ASSUMPTIONS,
]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one assumption."""

    name: str
    holds: bool
    seen: str
    otherwise: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a request takes, from here to the database and back."""

    name: str
    times: int
    median_ms: float
    slowest_ms: float


def check_reachable(db: Scratch) -> None:
    """Raise `Unreachable` unless the database answers a SELECT."""
    try:
        answer = db.transport.batch([Statement("SELECT 1 AS one")], repeatable=True)
    except (AccessDenied, NoAnswer, D1Error) as error:
        raise Unreachable(str(error)) from None
    if answer[0].rows != [[1]]:
        raise Unreachable(f"The answer to SELECT 1 is {shortened(repr(answer[0].rows))}.")


def examine(db: Scratch, assumption: Assumption) -> Finding:
    """Return the result of one assumption. Raises `Unreachable` when the database stopped answering."""
    began = time.perf_counter()
    try:
        db.clear()
        holds, seen = True, assumption.test(db)
    except DoesNotHold as error:
        holds, seen = False, str(error)
    except (D1Error, sqlite3.Error, DatabaseError) as error:
        holds, seen = False, f"D1 reports {message_of(error)}"
    except (AccessDenied, NoAnswer) as error:
        check_reachable(db)
        holds, seen = False, f"no answer: {message_of(error)}"
    except (ValueError, LookupError, TypeError) as error:
        holds, seen = False, f"an answer that cannot be read ({type(error).__name__})"
    return Finding(assumption.name, holds, shortened(seen), assumption.otherwise, time.perf_counter() - began)


def latencies(db: Scratch) -> Iterator[Latency]:
    """Yield the latencies of what requests consist of, on new scratch tables. Raises `Unreachable`."""
    db.prepare()
    update = Statement(f"UPDATE {NOTE} SET text='x' WHERE id=1")
    insert = f"INSERT INTO {NOTE}(id, text) VALUES (%s, 'x')"
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
        ("SELECT 1", 25, lambda: _seconds(lambda: check_reachable(db))),
        ("a batch of 25 small statements", 10, lambda: _seconds(lambda: db.results(*[update] * 25))),
        ("a write within a block", 10, lambda: in_block(write)),
        ("COMMIT of one write", 10, lambda: in_block(connection.commit, prepare=write)),
    ]
    for name, times, measure in measures:
        try:
            seconds = [measure() for _time in range(times)]
        except (AccessDenied, NoAnswer, D1Error, sqlite3.Error, DatabaseError):
            # where an assumption does not hold, a request may fail: then there is no figure
            check_reachable(db)
            continue
        yield Latency(name, times, round(median(seconds) * 1000, 2), round(max(seconds) * 1000, 2))


def _seconds(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
