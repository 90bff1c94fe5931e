"""Finding the socket that accepts connections leaves every other open file alone."""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kikaku.stalled_clients import OPEN_FILES, limit_stalls

pytestmark = pytest.mark.skipif(not OPEN_FILES.exists(), reason="needs Linux's /proc")

WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


def test_a_process_that_looks_for_its_socket_keeps_its_locks_on_a_database(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.sqlite3")
    with closing(sqlite3.connect(path, isolation_level=None)) as ours, socket.create_server(("127.0.0.1", 0)):
        ours.execute("CREATE TABLE goods (title)")
        ours.execute("BEGIN IMMEDIATE")
        assert limit_stalls(60) >= 1
        other = subprocess.run(
            [sys.executable, "-c", WRITE, path], capture_output=True, text=True, check=False
        )
        assert "database is locked" in other.stderr


def test_the_socket_that_accepts_connections_gets_the_limit_and_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        limit_stalls(7)
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000
        with socket.create_connection(listener.getsockname()[:2]):
            listener.accept()[0].close()
