"""Cloudflare D1 as a Django database, with transactions. `docs/d1.md` tells how.

What code outside of the backend uses: the two exceptions, `retry_on_conflict` and `serializable`. On other
engines they cost nothing: no conflict is ever raised there, and isolation is left to the engine.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 12
SHORTEST_WAIT, LONGEST_WAIT = 0.005, 0.5  # seconds


class TransactionConflict(OperationalError):
    """Another writer changed what this block read or wrote. Nothing of the block was applied: repeat it."""


class CommitUnknown(OperationalError):
    """The answer to a COMMIT was lost and D1 can not be asked: all of the block may be applied, or nothing."""


def retry_on_conflict(function: Callable[P, R]) -> Callable[P, R]:
    """Repeat a function that is one transaction when another writer was quicker, after a short, random wait.

    The function must stand around the outermost `atomic()` and do nothing outside of it that may not happen twice.
    Called within a block it runs once: only the whole block can be repeated.

    Raises:
        TransactionConflict: after `ATTEMPTS` conflicts.
    """

    @wraps(function)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        wait = SHORTEST_WAIT
        for _attempt in range(ATTEMPTS - 1):
            try:
                return function(*args, **kwargs)
            except TransactionConflict:
                if connections[DEFAULT_DB_ALIAS].in_atomic_block:
                    raise
            except Exception:
                # an error may come of rows that do not fit together, where another writer was quicker
                if connections[DEFAULT_DB_ALIAS].in_atomic_block or not _doomed():
                    raise
            time.sleep(random.uniform(0, wait))  # noqa: S311  (spreads writers; no secret)
            wait = min(wait * 2, LONGEST_WAIT)
        return function(*args, **kwargs)

    return repeated


def _doomed() -> bool:
    """Tell whether the block that was rolled back just now could not have been committed."""
    doomed = getattr(connections[DEFAULT_DB_ALIAS].connection, "doomed", None)
    return doomed is not None and bool(doomed())


@contextmanager
def serializable(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Guard every read of the transactions begun in this context: what they read stands still until they commit.

    Enter it before `atomic()`. Only D1 needs to be told; SQLite is serializable by itself, and on PostgreSQL the
    caller takes locks.
    """
    connection: Any = connections[using]
    before = getattr(connection, "isolation", None)
    if before is None:
        yield
        return
    connection.isolation = "serializable"
    try:
        yield
    finally:
        connection.isolation = before


@contextmanager
def without_probe(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Add this context's writes to the block without a round trip each: they run with its next statement or its COMMIT.

    For writes whose row counts and ids the caller does not need and that cannot fail. An error of theirs surfaces with
    that later statement. On other engines, and outside of a block, they run at once as ever.
    """
    connection = connections[using]
    if connection.settings_dict["ENGINE"] != __name__:
        yield
        return
    connection.ensure_connection()
    session = connection.connection
    before, session.queueing = session.queueing, True
    try:
        yield
    finally:
        session.queueing = before


def reserve_ids(table: str, count: int, using: str = DEFAULT_DB_ALIAS) -> list[int] | None:
    """Take the ids of rows that SQL of one's own will insert within a block, where D1 can not tell them afterwards.

    None where the database tells them by RETURNING: on other engines, and outside of a block. The table's primary
    key must be one that the database would choose.
    """
    connection = connections[using]
    if connection.settings_dict["ENGINE"] != __name__:
        return None
    connection.ensure_connection()
    with connection.wrap_database_errors:
        found: list[int] | None = connection.connection.reserve_ids(table, count)
    return found
