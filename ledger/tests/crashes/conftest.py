"""The fixture of all tests here."""

from collections.abc import Iterator

import pytest
from django.db import connection

from ledger.testing.crashes.scene import Scene
from ledger.testing.histories.world import ground


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Prepare what worlds are made from, while the settings still say how the shop opens its database."""
    durable = connection.settings_dict["OPTIONS"]
    with ground() as folder:
        yield Scene(folder, durable)
