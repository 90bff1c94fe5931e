"""How a transaction is opened, required, forbidden, and repeated when another writer was quicker.

- `@unit_of_work`: the function is one transaction. This is how product code opens one.
- `require_transaction()`: the first line of a function that belongs to its caller's transaction.
- `forbid_transaction()`: the first line of a function that calls the network.

A part that may fail alone is a savepoint, `with transaction.atomic()`, inside one of these.

PostgreSQL makes a writer wait for the row that another has locked. Cloudflare D1 has no locks: at the commit
it checks that everything the unit of work read is unchanged; if not, nothing is applied and the unit runs
again. Besides its settings, the project uses only the names imported below from `kikaku.d1`; on other engines
they add no queries.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

from kikaku.d1 import queued_writes, reserve_ids, retry_on_conflict, serializable

__all__ = [
    "forbid_transaction",
    "isolated_transaction",
    "lock_names",
    "queued_writes",
    "require_transaction",
    "reserve_ids",
    "retry_on_conflict",
    "unit_of_work",
]

P = ParamSpec("P")
R = TypeVar("R")


def unit_of_work(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function as one transaction; on D1, run it again after a conflict.

    SQLite and D1 are serializable. On PostgreSQL lock the rows that must not change (`select_for_update`).
    It may run several times: any effect outside the database must be harmless when repeated. Inside a
    transaction it is only a savepoint: the outermost unit isolates and repeats.
    """

    @retry_on_conflict
    def outermost(*args: P.args, **kwargs: P.kwargs) -> R:
        with isolated_transaction():
            return function(*args, **kwargs)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _in_transaction():
            return outermost(*args, **kwargs)
        with transaction.atomic():
            return function(*args, **kwargs)

    return run


@contextmanager
def isolated_transaction() -> Iterator[None]:
    """Open the transaction of a unit of work without repeating it.

    For a caller that does its own retries because something must be reset first, such as rewinding uploaded
    files (`kikaku.admin.resubmission.repeat_on_conflict`).
    """
    with serializable(), transaction.atomic():
        yield


def require_transaction() -> None:
    """Raise `RuntimeError` outside a transaction: the caller must commit this with its own writes."""
    if not _in_transaction():
        raise RuntimeError(
            "This function belongs to the transaction of its caller; open one with @unit_of_work."
        )


def forbid_transaction() -> None:
    """Raise `RuntimeError` inside a transaction: rows must not stay locked during a network call.

    The block that a test case opens around a test does not count, as for `atomic(durable=True)`.
    """
    blocks = transaction.get_connection().atomic_blocks
    if any(not block._from_testcase for block in blocks):
        raise RuntimeError("Do not call the network inside a transaction; commit first.")


def lock_names(*names: str) -> None:
    """Lock names until the caller's transaction ends, for what has no row to lock, such as a count of rows.

    Another transaction that locks one of them waits. SQLite and D1 need no lock: they are serializable.
    """
    require_transaction()
    connection = transaction.get_connection()
    if connection.vendor != "postgresql":
        return
    digests = {hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names}
    keys = sorted(int.from_bytes(digest, signed=True) for digest in digests)  # in this order none deadlock
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(key) FROM unnest(%s::bigint[]) AS key", [keys])


def _in_transaction() -> bool:
    return bool(transaction.get_connection().in_atomic_block)
