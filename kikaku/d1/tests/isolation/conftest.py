"""Tables that exist for one test."""

from collections.abc import Iterator

import pytest
from django.db import connection
from pytest_django import DjangoDbBlocker

from .blocks import engine_name
from .tables import TABLES


@pytest.fixture
def tables(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Open the test database for real commits, with tables of these tests alone.

    So no flush is needed: `django_db(transaction=True)` would flush every table of the project, which takes a
    second on D1 for each test.
    """
    options = connection.settings_dict["OPTIONS"]
    if engine_name() == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
        pytest.skip("SQLite refuses a transaction that reads before it writes unless it begins IMMEDIATE")
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in TABLES:
                editor.create_model(model)
        yield
        with connection.schema_editor() as editor:
            for model in reversed(TABLES):
                editor.delete_model(model)
