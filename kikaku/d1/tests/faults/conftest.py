"""A bad line to a real engine, and a good one beside it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from kikaku.d1 import transport
from kikaku.d1.tests.faults.bank import Bank, make_tables
from kikaku.d1.tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from d1 import Engine


@pytest.fixture(scope="package")
def line(engine: "Engine") -> Iterator[Proxy]:
    """Open a line to the engine, which each test spoils as it likes."""
    make_tables(engine)
    proxy = Proxy(engine.address)
    proxy.up()
    yield proxy
    proxy.close()


@pytest.fixture
def bank(engine: "Engine", line: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Open an account of 100 yen, on whose movements the test looks over a good line."""
    monkeypatch.setattr(
        transport, "WAITS", (0.001, 0.01)
    )  # seconds between tries; nothing here is overloaded
    line.plan({})
    yield Bank(engine, line)
    line.settle()
    line.heal()
