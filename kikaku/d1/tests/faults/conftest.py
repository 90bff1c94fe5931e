"""A proxy with faults in front of a real engine, and a reliable connection to it."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError

from ... import transport
from ...engine import Engine
from .bank import Bank, make_tables
from .faults import READ_TIMEOUT, SLOW
from .proxy import TIMEOUT, Proxy

SAMPLE = 0.15  # the part of the cases that always runs, the same ones each time; the others run at night


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark most cases as nightly: there are hundreds of them."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and isinstance(item, pytest.Function):
            chosen = zlib.crc32(item.name.encode()) < SAMPLE * 2**32
            if hasattr(item, "callspec") and not chosen:
                item.add_marker(pytest.mark.nightly)


@pytest.fixture(scope="package")
def line(engine: Engine) -> Iterator[Proxy]:
    """Start a proxy in front of the engine; each test plans its faults."""
    make_tables(engine)
    proxy = Proxy(engine.address)
    proxy.up()
    yield proxy
    proxy.close()


class ClientPool:
    """The connection pool of clients of the proxy, which time out early only where a fault delays the answer.

    With a short timeout for every request, one that is merely slow on a busy machine would be repeated, and
    the faults planned for later requests would hit earlier ones.
    """

    def __init__(self, pool: HTTPConnectionPool, line: Proxy) -> None:
        self.pool = pool
        self.line = line

    def urlopen(self, *arguments: Any, **options: Any) -> BaseHTTPResponse:
        """Send a request and return its answer."""
        number = self.line.requests + 1
        if self.line.upcoming() not in SLOW.values():
            return self.pool.urlopen(*arguments, **options)
        try:
            options["timeout"] = Timeout(connect=TIMEOUT, read=READ_TIMEOUT)
            return self.pool.urlopen(*arguments, **options)
        except HTTPError:
            self.line.wait_until_counted(number)
            raise


@pytest.fixture
def bank(engine: Engine, line: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Return a bank with a new account of 100 yen."""
    # seconds between tries
    monkeypatch.setattr(transport, "RETRY_WAITS", (0.001, 0.01))
    pool = transport.pool
    monkeypatch.setattr(
        transport,
        "pool",
        lambda address: ClientPool(pool(address), line) if address.port == line.port else pool(address),
    )
    line.plan({})
    yield Bank(engine, line)
    line.settle()
    line.heal()
