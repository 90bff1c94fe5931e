"""What code around `atomic()` uses: retries, isolation, queued writes, reserved ids."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from .exceptions import TransactionConflict

P = ParamSpec("P")
R = TypeVar("R")

MAX_ATTEMPTS = 12
MIN_WAIT, MAX_WAIT = 0.005, 0.5  # seconds, upper limits of the random waits


def retry_on_conflict(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function with retries: it runs again when another writer was faster.

    There is a short random wait before each retry. The function must be one transaction: it contains the
    outermost `atomic()`, and does nothing outside of it that must not happen twice. Called within a block it
    runs once, because only the whole block can be repeated.

    Raises:
        TransactionConflict: after `MAX_ATTEMPTS` conflicts.
    """

    @wraps(function)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> R:
        wait = MIN_WAIT
        for _attempt in range(MAX_ATTEMPTS - 1):
            try:
                return function(*args, **kwargs)
            except TransactionConflict:
                if connections[DEFAULT_DB_ALIAS].in_atomic_block:
                    raise
            except Exception:
                # the block may have read a mix of old and new rows, which can cause any error
                if connections[DEFAULT_DB_ALIAS].in_atomic_block or not _is_stale():
                    raise
            time.sleep(random.uniform(0, wait))  # noqa: S311  (spreads writers; no secret)
            wait = min(wait * 2, MAX_WAIT)
        return function(*args, **kwargs)

    return repeated


def _is_stale() -> bool:
    """Return whether the block that was rolled back last had read rows that have changed since."""
    is_stale = getattr(connections[DEFAULT_DB_ALIAS].connection, "is_stale", None)
    return is_stale is not None and bool(is_stale())


@contextmanager
def serializable(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Guard every read of the transactions in this context: what they read must not change until COMMIT.

    Only D1 needs it: SQLite is serializable by itself, and on PostgreSQL the caller takes locks.

    Raises:
        TransactionManagementError: entered inside `atomic()`, on any engine: what the block has read before
            has no guard.
    """
    connection: Any = connections[using]
    before = getattr(connection, "isolation", None)
    if before != "serializable" and _is_in_block(connection):
        raise TransactionManagementError("Enter serializable() before atomic(), not inside it.")
    if before is None:
        yield
        return
    connection.isolation = "serializable"
    try:
        yield
    finally:
        connection.isolation = before


@contextmanager
def queued_writes(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Queue this context's writes: they are sent with the block's next statement or its COMMIT.

    This saves a request for each write. Use it only for writes that cannot fail and whose row counts and ids
    are not needed: an error would appear at that later statement. Outside of a block, and on other engines,
    they run at once.
    """
    connection = connections[using]
    if not _is_d1(connection):
        yield
        return
    connection.ensure_connection()
    dbapi = connection.connection
    before, dbapi.is_queueing = dbapi.is_queueing, True
    try:
        yield
    finally:
        dbapi.is_queueing = before


def reserve_ids(table: str, count: int, using: str = DEFAULT_DB_ALIAS) -> list[int] | None:
    """Return ids for rows that raw SQL will insert within a block, where D1 cannot return them afterwards.

    None where the database returns them by RETURNING: on other engines, and outside of a block. The table's
    primary key must be an integer that the database generates.
    """
    connection = connections[using]
    if not _is_d1(connection):
        return None
    connection.ensure_connection()
    with connection.wrap_database_errors:
        ids: list[int] | None = connection.connection.reserve_ids(table, count)
    return ids


def _is_in_block(connection: Any) -> bool:
    """Return whether a transaction is open; the block of a test case, which never commits, does not count."""
    if connection.in_atomic_block:
        return any(not block._from_testcase for block in connection.atomic_blocks)
    return connection.connection is not None and not connection.get_autocommit()


def _is_d1(connection: Any) -> bool:
    """Return whether a connection uses this backend, without importing it."""
    return bool(connection.settings_dict["ENGINE"] == __package__)
