"""A database that another process does not let go of."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from kikaku.testing.database import engine

sqlite_only = pytest.mark.skipif(
    engine() != "sqlite", reason="neither PostgreSQL nor D1 has a lock that keeps all writers out"
)


@contextmanager
def locked_by_another_process() -> Iterator[None]:
    """Let another process hold SQLite's write lock, and nobody wait for it for long."""
    connection.close()
    file = str(connection.settings_dict["NAME"])
    options: dict[str, Any] = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = {**options, "timeout": 0.02}
    (told, tells), (waits, releases) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(releases)
        holder = sqlite3.connect(file)
        holder.execute("BEGIN IMMEDIATE")
        os.write(tells, b"!")
        os.read(waits, 1)  # ends when the parent lets go
        os._exit(0)
    os.close(waits)
    os.read(told, 1)
    try:
        yield
    finally:
        os.close(releases)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tells)
        connection.close()
        connection.settings_dict["OPTIONS"] = options
