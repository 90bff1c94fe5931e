"""How a transaction is opened, required, forbidden, and repeated when another writer was quicker.

- `@unit_of_work`: the function is one transaction. This is how product code opens one.
- `require_transaction()`: the first line of a function that belongs to its caller's transaction.
- `forbid_transaction()`: the first line of what waits for the network.

A part that may fail alone is a savepoint, `with transaction.atomic()`, inside one of these.

PostgreSQL makes a writer wait for the row that another has locked. Cloudflare D1 has nothing to wait with:
there every read of a unit of work is guarded until the commit, and the one that comes second runs again. The
names below are all that the project takes from `kikaku.d1`; on other engines they cost nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

from kikaku.d1 import reserve_ids, retry_on_conflict, serializable, without_probe

__all__ = [
    "forbid_transaction",
    "isolated_transaction",
    "require_transaction",
    "reserve_ids",
    "retry_on_conflict",
    "unit_of_work",
    "without_probe",
]

P = ParamSpec("P")
R = TypeVar("R")


def unit_of_work(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function as one transaction whose reads hold until it commits; repeat it after a conflict.

    It must do nothing outside the database that may not happen twice. Inside a transaction it becomes a part
    of that one (a savepoint): isolation and repetition are the outermost's.
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

    For what has to be prepared before it is repeated, such as a form whose files were read (see
    `kikaku.admin`).
    """
    with serializable(), transaction.atomic():
        yield


def require_transaction() -> None:
    """Raise `RuntimeError` outside a transaction: the caller commits or rolls back more than the function."""
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
        raise RuntimeError("The network must not be waited for inside a transaction; commit first.")


def _in_transaction() -> bool:
    return bool(transaction.get_connection().in_atomic_block)
