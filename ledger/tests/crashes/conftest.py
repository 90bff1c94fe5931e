"""The fixture of the tests of faults."""

from collections.abc import Iterator

import pytest
from django.db import connection

from ledger.testing.crashes.scenarios import Scenarios
from ledger.testing.histories.world import prepared_template


@pytest.fixture
def scenarios() -> Iterator[Scenarios]:
    """Return the scenarios, with the database OPTIONS of the settings before the worlds change them."""
    durable = connection.settings_dict["OPTIONS"]
    with prepared_template() as folder:
        yield Scenarios(folder, durable)
