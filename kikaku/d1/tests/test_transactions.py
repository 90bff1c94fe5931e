"""Blocks on D1: what Django promises of `atomic()`, and the cases in which guards must find a conflict."""

from contextlib import nullcontext
from typing import Any

import pytest
from django.db import IntegrityError, NotSupportedError, OperationalError, connections, models, transaction
from django.db.models import F
from django.test.utils import isolate_apps

from .. import TransactionConflict, queued_writes, retry_on_conflict, serializable
from ..base import DatabaseWrapper
from ..guards import OWN_TABLES
from .blocks import block, count_round_trips, rival, run


@pytest.fixture(autouse=True)
def account(d1: DatabaseWrapper) -> None:
    run("CREATE TABLE account (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, n INTEGER NOT NULL)")
    run("INSERT INTO account (name, n) VALUES ('a', 10), ('b', 20)")


def balances(using: str = "rival") -> list[int]:
    return [n for (n,) in run("SELECT n FROM account ORDER BY id", using=using)]


# ── What Django promises ─────────────────────────────────────────────────────────────────────────────────


def test_a_block_sees_its_own_writes_and_others_see_them_after_commit() -> None:
    with block():
        run("UPDATE account SET n = n - 5 WHERE name = 'a'")
        run("UPDATE account SET n = n + 5 WHERE name = 'b'")
        assert balances("d1") == [5, 25]
        assert balances() == [10, 20]
    assert balances() == [5, 25]


def test_an_exception_rolls_back_and_runs_no_hook() -> None:
    calls: list[str] = []
    with pytest.raises(ZeroDivisionError), block():
        run("UPDATE account SET n = 0")
        transaction.on_commit(lambda: calls.append("done"), using="d1")
        raise ZeroDivisionError
    assert balances() == [10, 20] and calls == []


def test_hooks_run_after_the_commit_of_the_outermost_block() -> None:
    calls: list[list[int]] = []
    with block(), block():
        run("UPDATE account SET n = 1")
        transaction.on_commit(lambda: calls.append(balances()), using="d1")
        assert calls == []
    assert calls == [[1, 1]]


def test_an_inner_block_rolls_back_to_its_own_savepoint() -> None:
    with block():
        run("UPDATE account SET n = n + 1")
        with pytest.raises(IntegrityError), block():
            run("UPDATE account SET n = 99")
            run("INSERT INTO account (name, n) VALUES ('a', 1)")
        assert balances("d1") == [11, 21]
        run("UPDATE account SET n = n + 1 WHERE name = 'b'")
    assert balances() == [11, 22]


def test_a_durable_block_cannot_be_an_inner_block() -> None:
    with block(), pytest.raises(RuntimeError), transaction.atomic("d1", durable=True):
        pass


def test_a_failed_statement_raises_its_own_error_and_is_not_in_the_log() -> None:
    with block():
        run("UPDATE account SET n = 1 WHERE name = 'a'")
        with pytest.raises(OperationalError, match="no such column: m"):
            run("UPDATE account SET m = 1")
        with pytest.raises(IntegrityError, match=r"UNIQUE constraint failed: account\.name"):
            run("INSERT INTO account (name, n) VALUES ('b', 1)")
        with pytest.raises(IntegrityError, match=r"NOT NULL constraint failed: account\.n"):
            run("UPDATE account SET n = NULL")
    assert balances() == [1, 20]


def test_row_counts_do_not_include_what_triggers_and_indexes_write() -> None:
    run("CREATE TABLE audit (n INTEGER)")
    run("CREATE TRIGGER noting AFTER UPDATE ON account BEGIN INSERT INTO audit VALUES (NEW.n); END")
    with connections["d1"].cursor() as cursor:
        cursor.execute("UPDATE account SET n = n + 1")
        assert cursor.rowcount == 2
        with block():
            cursor.execute("UPDATE account SET n = n + 1 WHERE name = 'a'")
            assert cursor.rowcount == 1
            cursor.execute("DELETE FROM account")
            assert cursor.rowcount == 2
            cursor.executemany(
                "INSERT INTO account (name, n) VALUES (%s, %s)", [("x", 1), ("y", 2), ("z", 3)]
            )
            assert cursor.rowcount == 3
    assert balances() == [1, 2, 3]


def test_autocommit_can_be_switched_off(d1: DatabaseWrapper) -> None:
    d1.set_autocommit(False)
    run("UPDATE account SET n = 1")
    d1.rollback()
    run("UPDATE account SET n = 2")
    d1.commit()
    run("UPDATE account SET n = 3")
    d1.close()
    assert balances() == [2, 2]


def test_a_change_of_the_schema_is_rolled_back_with_its_block() -> None:
    with pytest.raises(ZeroDivisionError), block():
        run("CREATE TABLE other (n INTEGER)")
        run("INSERT INTO other VALUES (1)")
        run("ALTER TABLE account ADD COLUMN extra TEXT DEFAULT 'x'")
        assert run("SELECT * FROM other") == [(1,)]
        assert run("SELECT extra FROM account") == [("x",), ("x",)]
        raise ZeroDivisionError
    with pytest.raises(OperationalError, match="no such table: other"):
        run("SELECT * FROM other")


# ── Other writers ────────────────────────────────────────────────────────────────────────────────────────


def test_a_number_read_after_an_own_write_must_not_change_until_commit() -> None:
    with pytest.raises(TransactionConflict), block():
        run("UPDATE account SET n = n - 1 WHERE name = 'a'")
        assert run("SELECT n FROM account WHERE name = 'a'") == [(9,)]
        rival("UPDATE account SET n = n - 1 WHERE name = 'a'")
    assert balances() == [9, 20]


@pytest.mark.parametrize("table", ["account", "Account", "[account]", "main.account", '"account"'])
def test_the_written_table_is_recognized_in_any_spelling(table: str) -> None:
    with pytest.raises(TransactionConflict), block():
        run(f"UPDATE {table} SET n = n - 1 WHERE name = 'a'")
        run("SELECT n FROM ACCOUNT WHERE name = 'a'")
        rival("UPDATE account SET n = 0 WHERE name = 'a'")


def test_a_read_of_what_a_trigger_wrote_or_a_view_shows_is_guarded_too() -> None:
    run("CREATE TABLE total (n INTEGER)")
    run("INSERT INTO total VALUES (30)")
    run("CREATE TRIGGER adding AFTER UPDATE ON account BEGIN UPDATE total SET n = n + NEW.n - OLD.n; END")
    run("CREATE VIEW shown AS SELECT n AS sum FROM total")
    for query in ("SELECT n FROM total", "SELECT sum FROM shown"):
        with pytest.raises(TransactionConflict), block():
            run("UPDATE account SET n = n + 1 WHERE name = 'a'")
            run(query)
            rival("UPDATE account SET n = n + 1 WHERE name = 'b'")


def test_a_write_that_would_change_other_rows_at_commit_is_a_conflict() -> None:
    with pytest.raises(TransactionConflict), block():
        run("UPDATE account SET n = 0 WHERE n > 15")
        rival("UPDATE account SET n = 16 WHERE name = 'a'")
    assert balances() == [16, 20]


def test_a_constraint_that_fails_only_at_commit_is_a_conflict() -> None:
    with pytest.raises(TransactionConflict), block():
        run("INSERT INTO account (id, name, n) VALUES (50, 'c', 1)")
        rival("INSERT INTO account (name, n) VALUES ('c', 2)")
    with pytest.raises(TransactionConflict), block():
        run("INSERT INTO account (id, name, n) VALUES (60, 'd', 1)")
        rival("INSERT INTO account (id, name, n) VALUES (61, 'd', 2)")
        run("SELECT 1")  # the log does not fit any more: a conflict, and not an error of this statement


def test_an_id_that_was_read_is_the_id_at_commit() -> None:
    with pytest.raises(TransactionConflict), block(), connections["d1"].cursor() as cursor:
        cursor.execute("INSERT INTO account (name, n) VALUES ('c', 1)")
        assert cursor.lastrowid == 3
        rival("INSERT INTO account (name, n) VALUES ('d', 1)")
    with block(), connections["d1"].cursor() as cursor:  # lastrowid is not read: it may be another one
        cursor.execute("INSERT INTO account (name, n) VALUES ('c', 1)")
        rival("INSERT INTO account (name, n) VALUES ('e', 1)")
    assert [name for (name,) in run("SELECT name FROM account ORDER BY id")] == ["a", "b", "d", "e", "c"]


def test_serializable_guards_every_read_and_read_committed_only_those_after_own_writes(
    d1: DatabaseWrapper,
) -> None:
    def read_and_write() -> None:
        run("SELECT n FROM account WHERE name = 'a'")
        rival("UPDATE account SET n = n + 1 WHERE name = 'a'")
        run("UPDATE account SET n = 7 WHERE name = 'b'")

    with block():
        read_and_write()
    with pytest.raises(TransactionConflict), serializable("d1"), block():
        read_and_write()
    assert d1.isolation == "read committed"
    assert balances() == [12, 7]


def test_a_read_in_a_savepoint_that_was_rolled_back_is_still_guarded() -> None:
    with pytest.raises(TransactionConflict), serializable("d1"), block():
        with pytest.raises(ZeroDivisionError), block():
            run("SELECT n FROM account WHERE name = 'a'")
            raise ZeroDivisionError
        run("UPDATE account SET n = 1 WHERE name = 'b'")
        rival("UPDATE account SET n = 0 WHERE name = 'a'")


@pytest.mark.parametrize("read_first", [True, False])
def test_a_read_before_a_write_is_guarded_although_the_write_is_rolled_back(read_first: bool) -> None:
    """A read after the write cannot be guarded: COMMIT never has that state."""

    def rolled_back() -> None:
        with pytest.raises(ZeroDivisionError), block():
            if read_first:
                run("SELECT n FROM account WHERE name = 'a'")
            run("INSERT INTO account (name, n) VALUES ('c', 1)")
            run("SELECT last_insert_rowid()")
            run("SELECT count(*) FROM account")
            run("CREATE TABLE other (n INTEGER)")
            run("SELECT n FROM other")
            raise ZeroDivisionError

    with serializable("d1"), block():
        rolled_back()
        run("UPDATE account SET n = 1 WHERE name = 'b'")
    assert balances() == [10, 1]
    with serializable("d1"):
        expectation = pytest.raises(TransactionConflict) if read_first else nullcontext()
        with expectation, block():
            rolled_back()
            run("UPDATE account SET n = 2 WHERE name = 'b'")
            rival("UPDATE account SET n = 0 WHERE name = 'a'")
    assert balances() == [0, 1 if read_first else 2]


def test_a_serializable_block_that_only_reads_has_one_snapshot_or_a_conflict() -> None:
    with pytest.raises(TransactionConflict), serializable("d1"), block():
        run("SELECT n FROM account WHERE name = 'a'")
        rival("UPDATE account SET n = n + 1")
        run("SELECT n FROM account WHERE name = 'b'")


def test_conflicts_are_retried_and_errors_that_stale_reads_cause_too() -> None:
    @retry_on_conflict
    def spend(using: str = "d1") -> int:
        with serializable(using), block():
            attempts.append(0)
            (a,), (b,) = run("SELECT n FROM account WHERE name = 'a'")[0], (0,)
            if len(attempts) == 1:
                rival("UPDATE account SET n = 0 WHERE name = 'a'")
            run("UPDATE account SET n = n WHERE name = 'b'")
            assert run("SELECT n FROM account WHERE name = 'a'")[0][0] == a + b
            return int(a)

    attempts: list[int] = []
    default = connections["default"]
    connections["default"] = connections["d1"]
    try:
        assert spend() == 0
    finally:
        connections["default"] = default
    assert len(attempts) == 2


# ── Ids ────────────────────────────────────────────────────────────────────────────────────────────────────


@isolate_apps(__package__)
def make_lamp() -> type[models.Model]:
    class Lamp(models.Model):
        name = models.CharField(max_length=20)
        stock = models.IntegerField(db_default=3)

        class Meta:
            app_label = "d1"

    with connections["d1"].schema_editor() as editor:
        editor.create_model(Lamp)
    return Lamp


@pytest.fixture
def lamp(d1: DatabaseWrapper) -> Any:
    """Return the manager of a model with one row."""
    model = make_lamp()
    model._default_manager.using("d1").create(name="desk", stock=1)
    return model._default_manager.using("d1")


def test_models_in_blocks_get_unique_ids(lamp: Any) -> None:
    theirs = lamp.model._default_manager.using("rival")
    with block():
        mine = lamp.create(name="mine")
        other = theirs.create(name="theirs")
        many = lamp.bulk_create([lamp.model(name=str(number)) for number in range(30)])
    ids = [mine.pk, other.pk, *(one.pk for one in many)]
    assert len(set(ids)) == 32
    assert dict(lamp.values_list("pk", "name")) | {mine.pk: "mine", other.pk: "theirs"} == dict(
        lamp.values_list("pk", "name")
    )


def test_database_defaults_are_returned_within_a_block(lamp: Any) -> None:
    with block():
        one = lamp.create(name="x")
        assert one.stock == 3
        assert lamp.filter(pk=one.pk).update(stock=F("stock") + 1) == 1
        made = lamp.bulk_create(
            [lamp.model(pk=one.pk, name="y")],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["pk"],
        )
        assert made[0].pk == one.pk
    assert lamp.get(pk=one.pk).stock == 4 and lamp.get(pk=one.pk).name == "y"


def test_explicit_ids_do_not_collide_with_reserved_ids(lamp: Any) -> None:
    with block():
        lamp.create(pk=1000, name="mine")
        run("INSERT INTO d1_lamp (name, stock) VALUES ('raw', 1)")
        later = lamp.create(name="later")
        assert later.pk > 1000
    assert lamp.count() == 4


# ── What is refused ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE account SET n = random()",
        "INSERT INTO account (name, n) VALUES (CURRENT_TIMESTAMP, 1)",
        "INSERT INTO account (name, n) VALUES (datetime('now'), 1)",
    ],
)
def test_a_nondeterministic_write_in_a_block_is_refused(sql: str) -> None:
    with pytest.raises(NotSupportedError, match="as a parameter"), block():
        run(sql)
    run(sql + " WHERE 0" if sql.startswith("UPDATE") else sql)  # in autocommit it runs once


def test_limits_are_named() -> None:
    with pytest.raises(NotSupportedError, match="100,000 bytes of SQL"):
        run("SELECT " + "1 + " * 40_000 + "1")
    with pytest.raises(NotSupportedError, match="100 bound parameters"):
        run(f"SELECT {' || '.join(['%s'] * 101)}", *["\0"] * 101)
    with pytest.raises(NotSupportedError, match="RETURNING"), block():
        run("INSERT INTO account (name, n) VALUES ('c', 1) RETURNING id")


def test_a_dry_run_is_never_applied_not_even_without_its_trigger() -> None:
    with block():
        run("UPDATE account SET n = 0")
    run("DROP TRIGGER _d1_probe_raise")
    with pytest.raises(IntegrityError), block():
        run("UPDATE account SET n = 1")
    assert balances() == [0, 0]


def test_the_backends_own_tables_are_created_when_they_are_missing() -> None:
    for table in OWN_TABLES:
        run(f"DROP TABLE IF EXISTS {table}")
    with block():
        run("UPDATE account SET n = 3")
    assert balances() == [3, 3]


# ── Sizes and costs ──────────────────────────────────────────────────────────────────────────────────────


def test_a_result_over_two_megabytes_is_read_in_pages_in_a_block() -> None:
    run("CREATE TABLE book (id INTEGER PRIMARY KEY, page TEXT)")
    run(
        "WITH RECURSIVE up(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM up WHERE i < 3000) "
        "INSERT INTO book SELECT i, printf('%%01000d', i) FROM up".replace("%%", "%")
    )
    with block():
        run("UPDATE account SET n = 1")
        assert [int(page) for (page,) in run("SELECT page FROM book ORDER BY id")] == list(range(1, 3001))
    with pytest.raises(TransactionConflict), block():  # its pages must be of one moment
        run("UPDATE account SET n = 2")
        run("SELECT page FROM book ORDER BY id")
        rival("DELETE FROM book WHERE id = 2000")


def test_data_may_look_like_error_texts() -> None:
    for text in (
        "Network connection lost",
        "no such table: _d1_probe",
        "_d1_rows:",
        ": SQLITE_CONSTRAINT",
        "';--",
    ):
        with block():
            run("UPDATE account SET name = %s WHERE id = 1", text)
            assert run("SELECT name FROM account WHERE id = 1") == [(text,)]


def test_a_block_costs_one_request_per_statement_and_one_to_commit() -> None:
    def once() -> None:
        with block():
            run("SELECT n FROM account")
            run("UPDATE account SET n = n + 1")
            with block():
                run("UPDATE account SET n = n + 1")

    once()
    assert count_round_trips(once) == 4
    assert count_round_trips(lambda: run("SELECT n FROM account")) == 1

    def nothing() -> None:
        with block():
            run("SELECT n FROM account")

    assert count_round_trips(nothing) == 1


def test_a_queued_write_costs_no_request_of_its_own() -> None:
    def once() -> None:
        with block():
            run("UPDATE account SET n = n + 1 WHERE name = 'a'")
            with queued_writes("d1"):
                run("UPDATE account SET n = n + 7 WHERE name = 'b'")
            seen.append(run("SELECT n FROM account WHERE name = 'b'"))

    seen: list[Any] = []
    once()
    assert count_round_trips(once) == 3
    assert seen == [[(27,)], [(34,)]]
    assert balances() == [12, 34]


def test_the_row_count_of_queued_writes_is_unknown() -> None:
    with block(), queued_writes("d1"), connections["d1"].cursor() as cursor:
        cursor.executemany("INSERT INTO account (name, n) VALUES (%s, %s)", [("x", 1), ("y", 2), ("z", 3)])
        assert cursor.rowcount == -1
        cursor.execute("UPDATE account SET n = 0")
        assert cursor.rowcount == -1
        cursor.executemany("INSERT INTO account (name, n) VALUES (%s, %s)", [])
        assert cursor.rowcount == 0
    assert balances() == [0, 0, 0, 0, 0]


def test_an_error_of_a_queued_write_ends_the_block_at_its_commit() -> None:
    with pytest.raises(IntegrityError, match="UNIQUE"), block():
        run("UPDATE account SET n = 0 WHERE name = 'a'")
        with queued_writes("d1"):
            run("INSERT INTO account (name, n) VALUES ('b', 1)")
    assert balances() == [10, 20]


def test_a_queued_write_is_dropped_with_its_savepoint() -> None:
    with block():
        with pytest.raises(ValueError, match="stop"), block():
            with queued_writes("d1"):
                run("UPDATE account SET n = 0 WHERE name = 'b'")
            raise ValueError("stop")
        run("UPDATE account SET n = 11 WHERE name = 'a'")
    assert balances() == [11, 20]


def test_outside_of_a_block_a_queued_write_runs_at_once() -> None:
    with queued_writes("d1"):
        run("UPDATE account SET n = 0 WHERE name = 'b'")
    assert balances() == [10, 0]


def test_rows_that_may_be_there_already_need_no_reserved_ids(lamp: Any) -> None:
    def once() -> None:
        with block():
            lamp.bulk_create([lamp.model(name="floor")], ignore_conflicts=True)

    once()
    assert count_round_trips(once) == 2
    assert list(lamp.values_list("pk", "name")) == [(1, "desk"), (2, "floor"), (3, "floor")]


def test_queries_report_what_they_cost(d1: DatabaseWrapper) -> None:
    run("SELECT n FROM account")  # asks once for the column names of raw SQL
    d1.force_debug_cursor = True
    d1.queries_log.clear()
    run("SELECT n FROM account")
    run("UPDATE account SET n = %s", 5)
    read, write = (dict[str, object](query) for query in d1.queries)
    assert (read["round_trips"], read["rows_read"]) == (1, 2)
    assert write["round_trips"] == 1 and write["rows_written"] == 2
    assert write["sql"] == "UPDATE account SET n = 5"
