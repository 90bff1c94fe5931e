"""A database that refuses writes for a while: SQLite is locked by another process, D1 is unreachable."""

import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from kikaku.testing.database import engine, on_d1

not_on_postgresql = pytest.mark.skipif(
    engine() == "postgresql", reason="PostgreSQL has no lock that blocks all writers"
)
EXPECTED_ERROR = "cannot be reached" if on_d1() else "locked"  # in the error's text


@contextmanager
def database_unwritable() -> Iterator[None]:
    """Make every write fail: SQLite is locked by another process; D1, which has no lock, is unreachable."""
    with gateway_unreachable() if on_d1() else locked_by_another_process():
        yield


@contextmanager
def locked_by_another_process() -> Iterator[None]:
    """Let another process hold SQLite's write lock, and shorten our wait for it to 20 ms."""
    connection.close()
    file = str(connection.settings_dict["NAME"])
    options: dict[str, Any] = connection.settings_dict["OPTIONS"]
    connection.settings_dict["OPTIONS"] = {**options, "timeout": 0.02}
    (locked_reader, locked_writer), (release_reader, release_writer) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release_writer)
        holder = sqlite3.connect(file)
        holder.execute("BEGIN IMMEDIATE")
        os.write(locked_writer, b"!")
        os.read(release_reader, 1)  # returns when the parent closes its end
        os._exit(0)
    os.close(release_reader)
    os.read(locked_reader, 1)
    try:
        yield
    finally:
        os.close(release_writer)
        os.waitpid(child, 0)
        os.close(locked_reader)
        os.close(locked_writer)
        connection.close()
        connection.settings_dict["OPTIONS"] = options


@contextmanager
def gateway_unreachable() -> Iterator[None]:
    """Point the connection to a port where nothing listens."""
    database = connection.settings_dict
    address = {name: database[name] for name in ("HOST", "PORT")}
    connection.close()
    with socket.socket() as unused:  # bound and not listening: the port refuses connections and stays ours
        unused.bind(("127.0.0.1", 0))
        database.update(HOST="127.0.0.1", PORT=str(unused.getsockname()[1]))
        try:
            yield
        finally:
            connection.close()
            database.update(address)
