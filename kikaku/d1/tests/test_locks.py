"""Locked rows: `select_for_update()` holds what it returns, or is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, models, transaction
from django.db.models import Count, F, Value

from .. import TransactionConflict, retry_on_conflict, serializable
from ..base import DatabaseWrapper
from .blocks import block, rival, run


class Room(models.Model):
    """A room with lamps."""

    name = models.CharField(max_length=20, unique=True)

    class Meta:
        app_label = "d1_locks"
        managed = False
        db_table = "room"


class Lamp(models.Model):
    """A lamp in a room."""

    name = models.CharField(max_length=20, unique=True)
    stock = models.IntegerField(default=1)
    room = models.ForeignKey(Room, models.CASCADE)

    class Meta:
        app_label = "d1_locks"
        managed = False
        db_table = "lamp"


mine, theirs = Lamp._default_manager.using("d1"), Lamp._default_manager.using("rival")


@pytest.fixture(autouse=True)
def lamps(d1: DatabaseWrapper) -> Iterator[None]:
    """Create two lamps in one room, and a table for what a block does while it holds a lock."""
    with d1.schema_editor() as editor:
        editor.create_model(Room)
        editor.create_model(Lamp)
    run("CREATE TABLE refund (n INTEGER)")
    room = Room._default_manager.using("d1").create(name="bath")
    mine.create(name="desk", room=room)
    mine.create(name="floor", room=room)
    yield


def refunds() -> list[int]:
    return [n for (n,) in run("SELECT n FROM refund ORDER BY n")]


def both_hold(lock: Any) -> None:
    """Let each of two blocks lock with `lock`, and write something else."""
    with block():
        list(lock(mine))
        run("INSERT INTO refund VALUES (1)")
        with block("rival"):
            list(lock(theirs))
            rival("INSERT INTO refund VALUES (2)")


@pytest.mark.parametrize(
    "lock",
    [
        lambda lamps: lamps.select_for_update(),
        lambda lamps: lamps.select_for_update().values_list("stock"),
        lambda lamps: lamps.select_for_update().values("room__name").order_by("-stock")[:1],
        lambda lamps: lamps.select_for_update().annotate(one=Value(1)).values("one"),
        lambda lamps: lamps.select_for_update(of=("self",)).select_related("room"),
        lambda lamps: lamps.select_for_update(of=("room",)).select_related("room"),
        lambda lamps: lamps.select_for_update(of=("self",)).values("stock"),
        lambda lamps: [lamps.select_for_update().exists()],
    ],
)
def test_a_locked_row_is_exclusive_even_when_neither_block_writes_it(lock: Any) -> None:
    with pytest.raises(TransactionConflict):
        both_hold(lock)
    assert refunds() == [2]


def test_a_lock_holds_no_other_rows_and_nothing_after_its_block() -> None:
    with block():
        mine.select_for_update().get(name="desk")
        run("INSERT INTO refund VALUES (1)")
        with block("rival"):
            assert not list(theirs.select_for_update().filter(name="none"))
            theirs.select_for_update().get(name="floor")
            rival("UPDATE lamp SET stock = 5 WHERE name = 'floor'")
    with block():
        mine.select_for_update().get(name="desk")
        run("INSERT INTO refund VALUES (2)")
    assert refunds() == [1, 2]


def test_of_names_the_tables_whose_rows_are_locked() -> None:
    def lock(lamps: Any, name: str) -> None:
        list(lamps.select_for_update(of=("self",)).select_related("room").filter(name=name))

    with block():  # both rows are in one room, which neither block locks
        lock(mine, "desk")
        run("INSERT INTO refund VALUES (1)")
        with block("rival"):
            lock(theirs, "floor")
            rival("INSERT INTO refund VALUES (2)")
    assert refunds() == [1, 2]
    with pytest.raises(TransactionConflict), block():  # without `of` the room is locked, too
        list(mine.select_for_update().select_related("room").filter(name="desk"))
        run("INSERT INTO refund VALUES (3)")
        with block("rival"):
            list(theirs.select_for_update().select_related("room").filter(name="floor"))
            rival("INSERT INTO refund VALUES (4)")
    assert refunds() == [1, 2, 4]


def test_a_row_can_only_be_locked_in_a_block_and_nowait_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        mine.select_for_update().get(name="desk")
    with pytest.raises(NotSupportedError, match="NOWAIT"), block():
        mine.select_for_update(nowait=True).get(name="desk")


@pytest.mark.parametrize(
    "lock",
    [
        lambda: mine.select_for_update().order_by("?"),
        lambda: mine.select_for_update().order_by("?")[:1],
        lambda: mine.select_for_update().values("stock").distinct(),
        lambda: mine.select_for_update().values("stock").annotate(Count("pk")),
        lambda: mine.filter(pk__in=mine.select_for_update().filter(stock=1)),
    ],
    ids=["random", "one at random", "distinct", "aggregate", "subquery"],
)
def test_a_lock_that_could_not_hold_is_refused(lock: Any) -> None:
    with pytest.raises(NotSupportedError), block():
        list(lock())


def test_a_serializable_block_refuses_a_read_that_it_cannot_guard() -> None:
    with serializable("d1"), block():
        with pytest.raises(NotSupportedError, match="random"):
            list(mine.order_by("?"))
        for sql in ("SELECT n, CURRENT_DATE FROM refund", "SELECT * FROM refund WHERE n < date('now')"):
            with pytest.raises(NotSupportedError, match="as a parameter"):
                run(sql)
        with pytest.raises(NotSupportedError, match="as a parameter"):
            run("SELECT * FROM refund WHERE n < date(%s)", "now")
    with block():  # at read committed they are plain reads
        assert len(mine.order_by("?")) == 2
        assert run("SELECT n, CURRENT_DATE FROM refund") == []


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT stock AS current_date_seen FROM lamp WHERE name = 'desk'",
        "SELECT stock AS current_date FROM lamp WHERE name = 'desk'",
        "SELECT stock, 'now', 'random()' FROM lamp WHERE name = 'desk' -- CURRENT_TIMESTAMP",
    ],
)
def test_a_read_with_such_words_in_names_and_texts_is_guarded(sql: str) -> None:
    with pytest.raises(TransactionConflict), serializable("d1"), block():
        run(sql)
        run("INSERT INTO refund VALUES (1)")
        rival("UPDATE lamp SET stock = 0 WHERE name = 'desk'")
    assert refunds() == []


def test_a_read_of_the_clock_after_a_write_of_the_table_is_refused() -> None:
    with block():
        run("UPDATE lamp SET stock = stock - 1")
        with pytest.raises(NotSupportedError, match="CURRENT_TIMESTAMP"):
            run("SELECT stock, CURRENT_TIMESTAMP FROM lamp")


def test_a_write_with_such_words_in_names_and_texts_is_not_refused() -> None:
    run("CREATE TABLE visit (current_date_seen TEXT, note TEXT)")
    with block():
        run("INSERT INTO visit (current_date_seen, note) VALUES ('today', %s)", "random() CURRENT_TIME")
    assert run("SELECT count(*) FROM visit WHERE current_date_seen = 'today'") == [(1,)]


def test_serializable_inside_a_block_is_an_error_because_earlier_reads_have_no_guard() -> None:
    refused = pytest.raises(transaction.TransactionManagementError, match="before atomic")
    with block(), refused, serializable("d1"):
        pass
    with serializable("d1"), block(), serializable("d1"):  # all reads are guarded anyway
        pass


# ── Rows that are not there yet ──────────────────────────────────────────────────────────────────────────


def insert_rival(name: str) -> None:
    rival("INSERT INTO lamp (name, stock, room_id) VALUES (%s, 7, 1)", name)


def test_a_unique_race_lost_at_commit_is_an_integrity_error_and_a_conflict() -> None:
    with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: lamp\.name") as caught, block():
        mine.create(name="new", room_id=1)
        insert_rival("new")
    assert isinstance(caught.value, TransactionConflict)
    with pytest.raises(IntegrityError) as caught, block():
        mine.create(name="newer", room_id=1)
        insert_rival("newer")
        run("SELECT 1")  # the log does not fit any more
    assert isinstance(caught.value, TransactionConflict)


def test_what_was_changed_by_another_writer_is_no_integrity_error() -> None:
    with pytest.raises(TransactionConflict) as caught, block():
        mine.select_for_update().get(name="desk")
        run("INSERT INTO refund VALUES (1)")
        rival("UPDATE lamp SET stock = 0")
    assert not isinstance(caught.value, IntegrityError)


def test_a_locked_read_that_found_nothing_lets_another_writer_insert_the_row() -> None:
    with block():
        assert not mine.select_for_update().filter(name="new").first()
        insert_rival("new")
        with pytest.raises(IntegrityError) as caught, block():
            mine.create(name="new", room_id=1)
        assert not isinstance(caught.value, TransactionConflict)
        assert mine.select_for_update().get(name="new").stock == 7
        run("INSERT INTO refund VALUES (1)")
    assert refunds() == [1]


def test_get_or_create_in_a_block_reads_the_row_of_the_faster_writer() -> None:
    class Race:
        """A default that lets another writer insert the row between the read and the own INSERT."""

        def __call__(self) -> int:
            insert_rival("new")
            return 1

    with block():
        run("UPDATE refund SET n = 0")
        lamp, created = mine.get_or_create(name="new", defaults={"room_id": Race()})
        assert (lamp.stock, created) == (7, False)


def test_update_or_create_with_retries_changes_the_row_of_the_faster_writer() -> None:
    attempts: list[int] = []

    @retry_on_conflict
    def store() -> Lamp:
        attempts.append(1)
        with block():
            lamp, _created = mine.update_or_create(
                name="new", defaults={"stock": F("stock") + 1}, create_defaults={"room_id": 1}
            )
            if len(attempts) == 1:
                insert_rival("new")
            return lamp

    store()
    assert len(attempts) == 2
    assert mine.get(name="new").stock == 8
