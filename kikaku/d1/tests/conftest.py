"""One D1 engine for all tests that need one, and Django's connections to it."""

from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..engine import Engine
from ..testing.engine import GatewayClient, running_engine, wrapper


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known that some tests set; a project decides when those run."""
    config.addinivalue_line("markers", "nightly: one of many similar cases; a sample of them runs always")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Run an engine with the databases `first`, `second` and `test_first`."""
    with running_engine(["first", "second", "test_first"]) as running:
        yield running


@pytest.fixture
def gateway(engine: Engine) -> GatewayClient:
    """Return a client of the engine's gateway."""
    return GatewayClient(engine)


@pytest.fixture
def d1(engine: Engine, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseWrapper]:
    """Return `connections["d1"]`, to an empty database; `connections["rival"]` is another writer there."""
    mine = connections["d1"] = wrapper(engine, "test_first", "d1")
    connections["rival"] = wrapper(engine, "test_first", "rival")
    with django_db_blocker.unblock():  # these tests do not use the project's test database
        mine.reset_database()
        yield mine
    for alias in ("d1", "rival"):
        connections[alias].close()
        del connections[alias]
