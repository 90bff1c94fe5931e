"""The tables of the books on D1, whatever engine the other tests run on: flush, triggers and inspectdb."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections
from pytest_django import DjangoDbBlocker

from kikaku.d1.testing.engine import default_database, running_engine
from ledger.models import StockItem, StockMovement

pytestmark = pytest.mark.nightly  # with an engine of its own; by day `make test DB=d1` runs the books on D1


@pytest.fixture(scope="module")
def migrated(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Migrate all apps in a D1 database of this module, which is the default one meanwhile."""
    with (
        running_engine(["test_books"]) as engine,
        django_db_blocker.unblock(),
        default_database(engine, "test_books"),
    ):
        call_command("migrate", verbosity=0)
        yield


@pytest.fixture
def books(migrated: None) -> None:
    """Flush the database."""
    flush()


def flush() -> None:
    call_command("flush", interactive=False, verbosity=0)


def run(sql: str) -> list[Any]:
    with connections["default"].cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


def create_movement() -> StockMovement:
    """Write a row into an append-only table."""
    item = StockItem.objects.create(sku="lamp")
    return StockMovement.objects.create(
        item=item, kind="receipt", quantity=1, source="test", occurred_at="2026-02-03T00:00Z"
    )


def test_flush_empties_the_append_only_tables_of_a_test_database(books: None) -> None:
    assert create_movement().pk == 1
    flush()
    assert not StockMovement.objects.exists() and not StockItem.objects.exists()
    assert create_movement().pk == 1


def test_flush_is_refused_by_append_only_tables_where_the_database_is_no_test_database(books: None) -> None:
    User.objects.create_user("佐藤")
    create_movement()
    run("DELETE FROM ledger_test_database")
    try:
        with pytest.raises(CommandError, match="couldn't be flushed") as refusal:
            flush()
        assert "append-only" in str(refusal.value.__cause__)
        assert User.objects.count() == 1  # all or nothing
        with pytest.raises(IntegrityError, match="append-only"):
            run("DELETE FROM ledger_stockmovement")
    finally:
        run("INSERT INTO ledger_test_database VALUES (1)")


def test_inspectdb_reads_the_tables_of_the_books(books: None) -> None:
    out = io.StringIO()
    call_command("inspectdb", stdout=out)
    code = out.getvalue()
    assert "class LedgerOrderline(models.Model):" in code
    assert "_d1_" not in code and "Unable to inspect" not in code
    compile(code, "inspectdb", "exec")
