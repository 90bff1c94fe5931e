"""One D1 engine for all tests here that ask for one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from kikaku.d1.tests.engine import Gateway, running_engine

if TYPE_CHECKING:
    from d1 import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator["Engine"]:
    """Run an engine with the databases `first` and `second`."""
    with running_engine(["first", "second"]) as running:
        yield running


@pytest.fixture
def gateway(engine: "Engine") -> Gateway:
    """Connect to the gateway of the engine."""
    return Gateway(engine)
