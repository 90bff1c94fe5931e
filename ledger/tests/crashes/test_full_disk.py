"""A full disk: a write that does not fit raises an error and stores nothing; later retries succeed."""

import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from django.db import OperationalError, connection

from kikaku.testing.database import engine
from ledger.closing.daily_close import CloseFailed
from ledger.models import DailyClose, EvidenceFile, Order, OrderLine
from ledger.testing.crashes.operations import Operation, operation_named, operations_to_try
from ledger.testing.crashes.power import run_in_child
from ledger.testing.crashes.scenarios import Scenarios, settled_summary
from ledger.testing.histories.customers import Place
from ledger.testing.histories.world import World
from ledger.testing.steps import Step, observe_steps

pytestmark = pytest.mark.django_db(transaction=True)
UNLIMITED = 1_073_741_823
FITS_IN_EXISTING_PAGES = {  # operations that change rows, or add small_order ones, in existing pages
    "place an order",
    "come back to a page that closes",
    "post a sale and a refund",
    "end an abandoned checkout",
}


@contextmanager
def growth_limited_to(pages: int, world: World) -> Iterator[None]:
    """Let SQLite report a full disk when the database has grown by so many small_order pages."""
    connection.close()
    with closing(sqlite3.connect(world.folder / "shop.sqlite3")) as db:
        db.execute("PRAGMA page_size = 512")
        db.execute("VACUUM")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0] + pages}")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA max_page_count = {UNLIMITED}")


@pytest.mark.skipif(engine() != "sqlite", reason="the test cannot fill the disk of a database server")
@pytest.mark.parametrize("pages", [0, 12])
@pytest.mark.parametrize(
    "operation", operations_to_try(2, where=lambda operation: operation.name not in FITS_IN_EXISTING_PAGES)
)
def test_a_full_database_raises_an_error_and_stores_nothing(
    scenarios: Scenarios, operation: Operation, pages: int
) -> None:
    expected = scenarios.outcome(operation)
    with scenarios.before(operation) as world:
        with growth_limited_to(pages, world):
            try:
                operation.action(world)
            except OperationalError as error:
                assert "full" in str(error)
            else:
                assert pages, "the write did fit"
        for action in (operation.action, *operation.after):
            if operation.by_person or action in operation.after:
                action(world)
        assert settled_summary(world) == expected


@pytest.mark.skipif(engine() != "sqlite", reason="the test cannot fill the disk of a database server")
def test_orders_succeed_until_the_disk_is_full_and_after_it_has_space_again(scenarios: Scenarios) -> None:
    small_order = Place(lines=((0, 11_000, 1),))
    with scenarios.before(operation_named("place an order")) as world:
        with growth_limited_to(3, world), pytest.raises(OperationalError, match="full"):
            while True:
                small_order(world)
        placed = Order.objects.count()
        assert 0 < placed == OrderLine.objects.count() < 10
        world.forms = placed  # the same form as the order that failed
        small_order(world)
        assert placed < Order.objects.count() <= placed + 1
        assert settled_summary(world)["orders"] == {("cancelled", "expired", 11_000): placed + 1}


@contextmanager
def file_size_limited() -> Iterator[None]:
    """Limit files to 2,000 bytes once evidence is written; the database files are larger before."""

    def on_step(step: Step) -> None:
        if step.kind == "file":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    with observe_steps(on_step):
        yield


def test_a_day_whose_evidence_does_not_fit_stays_open_with_an_error(scenarios: Scenarios) -> None:
    operation = operation_named("close a day")
    expected = scenarios.outcome(operation)

    def close() -> None:
        with (
            file_size_limited(),
            pytest.raises(CloseFailed, match=r"証憑を保存できない.*File too large.*空き容量"),
        ):
            operation.action(world)

    with scenarios.before(operation) as world:
        assert run_in_child(world, close, database=scenarios.durable) == 0
        assert not DailyClose.objects.exists() and not EvidenceFile.objects.exists()
        assert settled_summary(world) == expected


def test_after_a_kill_in_the_middle_of_a_file_the_next_run_closes_the_day(scenarios: Scenarios) -> None:
    operation = operation_named("close a day")
    expected = scenarios.outcome(operation)

    def close() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it and raises an error
        with file_size_limited():
            operation.action(world)

    with scenarios.before(operation) as world:
        assert run_in_child(world, close, database=scenarios.durable) & 0x7F == signal.SIGXFSZ
        assert any(path.stat().st_size == 2_000 for path in (world.folder / "files").rglob("*.*"))
        assert settled_summary(world) == expected
        assert DailyClose.objects.order_by("day")[0].run == 2
