"""A full disk: what does not fit is an error and leaves nothing half, and goes on when there is room again."""

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
from ledger.testing.crashes.operations import Operation, named, tried
from ledger.testing.crashes.power import in_a_child
from ledger.testing.crashes.scene import Scene, settled
from ledger.testing.histories.acts import Place
from ledger.testing.histories.world import World
from ledger.testing.steps import Step, steps

pytestmark = pytest.mark.django_db(transaction=True)
UNLIMITED = 1_073_741_823
FIT = {  # they change rows, or add small ones: in pages that the file has already
    "place an order",
    "come back to a page that closes",
    "post a sale and a refund",
    "end an abandoned checkout",
}


@contextmanager
def room_for(pages: int, world: World) -> Iterator[None]:
    """Let the database grow by so many small pages, then let SQLite say that the disk is full."""
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


@pytest.mark.skipif(engine() != "sqlite", reason="no server's disk is filled by a test")
@pytest.mark.parametrize("pages", [0, 12])
@pytest.mark.parametrize("operation", tried(2, where=lambda operation: operation.name not in FIT))
def test_a_full_database_is_an_error_and_nothing_half(scene: Scene, operation: Operation, pages: int) -> None:
    end = scene.end(operation)
    with scene.before(operation) as world:
        with room_for(pages, world):
            try:
                operation.deed(world)
            except OperationalError as error:
                assert "full" in str(error)
            else:
                assert pages, "there was room"
        for deed in (operation.deed, *operation.then):
            if operation.by_person or deed in operation.then:
                deed(world)
        assert settled(world) == end


@pytest.mark.skipif(engine() != "sqlite", reason="no server's disk is filled by a test")
def test_customers_order_until_the_disk_is_full_and_again_when_there_is_room(scene: Scene) -> None:
    small = Place(lines=((0, 11_000, 1),))
    with scene.before(named("place an order")) as world:
        with room_for(3, world), pytest.raises(OperationalError, match="full"):
            while True:
                small(world)
        placed = Order.objects.count()
        assert 0 < placed == OrderLine.objects.count() < 10
        world.forms = placed  # the same form as the one that failed
        small(world)
        assert placed < Order.objects.count() <= placed + 1
        assert settled(world)["orders"] == {("cancelled", "expired", 11_000): placed + 1}


@contextmanager
def no_long_file() -> Iterator[None]:
    """Let no file grow beyond 2,000 bytes as soon as one is put away. The databases' own are longer before."""

    def on_step(step: Step) -> None:
        if step.kind == "file":
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    with steps(on_step):
        yield


def test_no_room_for_evidence_keeps_the_day_open_and_says_so(scene: Scene) -> None:
    operation = named("close a day")
    end = scene.end(operation)

    def close() -> None:
        with (
            no_long_file(),
            pytest.raises(CloseFailed, match=r"cannot be stored.*File too large.*make room"),
        ):
            operation.deed(world)

    with scene.before(operation) as world:
        assert in_a_child(world, close, database=scene.durable) == 0
        assert not DailyClose.objects.exists() and not EvidenceFile.objects.exists()
        assert settled(world) == end


def test_killed_in_the_middle_of_a_file_the_day_is_closed_by_the_next_run(scene: Scene) -> None:
    operation = named("close a day")
    end = scene.end(operation)

    def close() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python would make an error of it
        with no_long_file():
            operation.deed(world)

    with scene.before(operation) as world:
        assert in_a_child(world, close, database=scene.durable) & 0x7F == signal.SIGXFSZ
        assert any(path.stat().st_size == 2_000 for path in (world.folder / "files").rglob("*.*"))
        assert settled(world) == end
        assert DailyClose.objects.order_by("day")[0].run == 2
