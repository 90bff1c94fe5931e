"""A database that takes nothing for a while: another process holds SQLite's lock, or nobody answers for D1."""

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
    engine() == "postgresql", reason="PostgreSQL has no lock that keeps all writers out"
)
SAID = "cannot be reached" if on_d1() else "locked"  # by the error that comes of it


@contextmanager
def nothing_can_be_written() -> Iterator[None]:
    """Let the database take nothing, as each engine knows it; on D1, where nobody holds a lock, it is out of reach."""
    with out_of_reach() if on_d1() else locked_by_another_process():
        yield


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


@contextmanager
def out_of_reach() -> Iterator[None]:
    """Let nobody listen where D1's gateway is."""
    known = connection.settings_dict
    place = {name: known[name] for name in ("HOST", "PORT")}
    connection.close()
    with socket.socket() as silent:  # its port is ours, and refuses: nobody else begins to listen there
        silent.bind(("127.0.0.1", 0))
        known.update(HOST="127.0.0.1", PORT=str(silent.getsockname()[1]))
        try:
            yield
        finally:
            connection.close()
            known.update(place)
