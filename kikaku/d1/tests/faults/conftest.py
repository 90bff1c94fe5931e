"""A bad line to a real engine, and a good one beside it."""

from collections.abc import Iterator

import pytest

from ... import transport
from ...engine import Engine
from .bank import Bank, make_tables
from .proxy import Proxy


@pytest.fixture(scope="package")
def line(engine: Engine) -> Iterator[Proxy]:
    """Open a line to the engine, which each test spoils as it likes."""
    make_tables(engine)
    proxy = Proxy(engine.address)
    proxy.up()
    yield proxy
    proxy.close()


@pytest.fixture
def bank(engine: Engine, line: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """Open an account of 100 yen, on whose movements the test looks over a good line."""
    monkeypatch.setattr(
        transport, "RETRY_WAITS", (0.001, 0.01)
    )  # seconds between tries; nothing here is overloaded
    line.plan({})
    yield Bank(engine, line)
    line.settle()
    line.heal()
