"""Transactions for tests that run on every engine: two levels, one kind of conflict."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal, TypeAlias

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection, connections, transaction

from ... import TransactionConflict, serializable
from ...address import ENGINE

Level: TypeAlias = Literal["read committed", "serializable"]
LEVELS: tuple[Level, ...] = ("read committed", "serializable")
# PostgreSQL's: serialization failure, deadlock, lock not available
CONFLICT_STATES = (
    "40001",
    "40P01",
    "55P03",
)


def engine_name() -> str:
    """Return the default database's engine: `d1` (whose `vendor` is SQLite's), `sqlite` or `postgresql`."""
    return "d1" if connection.settings_dict["ENGINE"] == ENGINE else connection.vendor


@contextmanager
def block(level: Level = "read committed", using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Open a transaction of this level, or of a stronger one where the engine has nothing weaker.

    On PostgreSQL the level is set by SQL, and its serialization errors become conflicts: that validates these
    tests on an engine of known isolation.

    Raises:
        TransactionConflict: nothing was applied, because of another writer.
    """
    is_serializable = level == "serializable"
    try:
        with serializable(using) if is_serializable else nullcontext(), transaction.atomic(using):
            if connections[using].vendor == "postgresql":
                if is_serializable:
                    run("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", using=using)
                run("SET LOCAL lock_timeout = '100ms'", using=using)  # its deadlock detection takes a second
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) in CONFLICT_STATES:
            raise TransactionConflict(str(error)) from error
        raise


def run(
    statement: str, parameters: Sequence[Any] = (), *, using: str = DEFAULT_DB_ALIAS
) -> list[tuple[Any, ...]]:
    """Execute one statement and return its rows, if it has any."""
    with connections[using].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []
