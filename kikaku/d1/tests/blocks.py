"""Statements and blocks on the connections of the fixture `d1`, in few words."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.db import connections, transaction


def run(sql: str, *parameters: Any, using: str = "d1") -> list[Any]:
    """Run a statement, and return its rows."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def rival(sql: str, *parameters: Any) -> None:
    """Run a statement on another connection."""
    run(sql, *parameters, using="rival")


def block(using: str = "d1") -> AbstractContextManager[None]:
    """Return a block."""
    return transaction.atomic(using)


def count_round_trips(of: Callable[[], Any]) -> int:
    """Return how many requests a function sends."""
    transport = connections["d1"].connection.transport
    before = transport.round_trips
    of()
    return int(transport.round_trips - before)
