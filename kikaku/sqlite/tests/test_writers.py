"""Connections of the backend queue for writes and not for reads, and no writer starves."""

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from kikaku.sqlite.base import DatabaseWrapper
from kikaku.sqlite.queue import HEADER, SUPPORTED
from kikaku.testing import engine_missing

pytestmark = pytest.mark.django_db(transaction=True)

FORK = multiprocessing.get_context("fork")
ALIAS = "queued"
SETTINGS: dict[str, Any] = {
    "ENGINE": "kikaku.sqlite",
    "ATOMIC_REQUESTS": False,
    "AUTOCOMMIT": True,
    "CONN_MAX_AGE": None,
    "CONN_HEALTH_CHECKS": False,
    "TIME_ZONE": None,
    "USER": "",
    "PASSWORD": "",
    "HOST": "",
    "PORT": "",
    "TEST": {},
}


def connect(name: str, *, timeout: float = 20) -> DatabaseWrapper:
    """Open a connection as `connections[ALIAS]`."""
    wrapper = DatabaseWrapper(
        {
            **SETTINGS,
            "NAME": name,
            "OPTIONS": {
                "timeout": timeout,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
            },
        },
        ALIAS,
    )
    connections[ALIAS] = wrapper
    return wrapper


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    if not SUPPORTED:
        engine_missing("this system has no locks of open files (Linux has them)")
    name = str(tmp_path / "shop.sqlite3")
    wrapper = connect(name)
    with wrapper.cursor() as cursor:
        cursor.execute("CREATE TABLE sale (writer INTEGER)")
    yield name
    connections[ALIAS].close()
    del connections[ALIAS]


def tickets_taken(file: str) -> int:
    queue = Path(f"{file}-queue")
    return int(HEADER.unpack(queue.read_bytes())[0]) if queue.exists() else 0


def run(statement: str) -> list[Any]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def in_queue() -> bool:
    wrapper = connections[ALIAS]
    assert isinstance(wrapper, DatabaseWrapper) and wrapper.queue is not None
    return wrapper.queue.ticket is not None


def test_a_read_takes_no_ticket(file: str) -> None:
    assert run("SELECT COUNT(*) FROM sale") == [(0,)]
    assert tickets_taken(file) == 0


def test_a_write_in_autocommit_takes_a_ticket_and_releases_it(file: str) -> None:
    run("INSERT INTO sale VALUES (1)")
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany("INSERT INTO sale VALUES (%s)", [(2,), (3,)])
    assert tickets_taken(file) == 2 and not in_queue()
    assert run("SELECT COUNT(*) FROM sale") == [(3,)]


def test_a_transaction_takes_one_ticket_also_with_nested_blocks(file: str) -> None:
    with transaction.atomic(ALIAS, durable=True):
        run("INSERT INTO sale VALUES (1)")
        with transaction.atomic(ALIAS):
            run("INSERT INTO sale VALUES (2)")
        assert in_queue()
    assert tickets_taken(file) == 1 and not in_queue()


def test_a_rollback_and_a_closed_connection_release_the_ticket(file: str) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(ALIAS):
        run("INSERT INTO sale VALUES (1)")
        raise ZeroDivisionError
    assert not in_queue()
    with transaction.atomic(ALIAS):
        connections[ALIAS].close()
    assert not in_queue()
    assert run("SELECT COUNT(*) FROM sale") == [(0,)]


def test_a_writer_outside_of_the_queue_causes_sqlites_own_timeout(file: str) -> None:
    connections[ALIAS].close()
    connect(file, timeout=0.2)
    outsider = sqlite3.connect(file, isolation_level=None)
    outsider.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="database is locked"), transaction.atomic(ALIAS):
        pass
    with pytest.raises(OperationalError, match="database is locked"):
        run("INSERT INTO sale VALUES (1)")
    assert not in_queue()
    outsider.execute("ROLLBACK")
    outsider.close()
    run("INSERT INTO sale VALUES (1)")


def test_a_database_in_memory_has_no_queue() -> None:
    wrapper = connect(":memory:")
    try:
        with transaction.atomic(ALIAS):
            run("CREATE TABLE sale (writer INTEGER)")
        assert wrapper.queue is None
    finally:
        del connections[ALIAS]


def test_four_processes_that_write_continuously_write_equally_often(file: str) -> None:
    connections[ALIAS].close()
    start = FORK.Barrier(4)

    def sell(number: int) -> None:
        connect(file)
        run("SELECT 1")
        start.wait(20)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with transaction.atomic(ALIAS):
                run(f"INSERT INTO sale VALUES ({number})")
                time.sleep(0.002)
        connections[ALIAS].close()

    writers = [FORK.Process(target=sell, args=(number,), daemon=True) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    counts = [count for _writer, count in run("SELECT writer, COUNT(*) FROM sale GROUP BY writer")]
    assert len(counts) == 4 and max(counts) <= min(counts) + 2, counts
