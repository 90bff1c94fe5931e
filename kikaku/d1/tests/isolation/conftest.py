"""Tables that exist for one test."""

from collections.abc import Iterator

import pytest
from django.db import connection

from .blocks import engine_name
from .tables import TABLES


@pytest.fixture
def tables(transactional_db: None) -> Iterator[None]:
    """Create the tables of these tests and drop them at the end; every transaction is really committed.

    The test needs the mark `django_db(transaction=True)` as well: pytest-django makes a test database only
    for tests that carry it, and without one the tables would be made in the configured database.
    """
    options = connection.settings_dict["OPTIONS"]
    if engine_name() == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
        pytest.skip("SQLite refuses a transaction that reads before it writes unless it begins IMMEDIATE")
    with connection.schema_editor() as editor:
        for model in TABLES:
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in reversed(TABLES):
            editor.delete_model(model)
