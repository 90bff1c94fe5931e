"""`manage.py` on D1: migrate, dumpdata, loaddata, flush, inspectdb, and `explain()` of a query."""

import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.core.serializers.base import DeserializationError
from django.db import IntegrityError, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from pytest_django import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..engine import Engine
from ..testing.engine import manage, running_engine, wrapper


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Run an engine with a shop's database, and others to migrate."""
    with running_engine(["test_shop", "test_whole", "test_cut"]) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(engine: Engine, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseWrapper]:
    """Migrate all apps in a database of this module's own, which is the default one meanwhile."""
    usual = connections["default"]
    shop = connections["default"] = wrapper(engine, "test_shop", "default")
    try:
        with django_db_blocker.unblock():
            ContentType.objects.clear_cache()
            call_command("migrate", verbosity=0)
            yield shop
    finally:
        shop.close()
        connections["default"] = usual
        ContentType.objects.clear_cache()


@pytest.fixture
def shop(migrated: DatabaseWrapper) -> Iterator[DatabaseWrapper]:
    """Return the shop's database, flushed."""
    flush()
    yield migrated
    if migrated.in_atomic_block:
        migrated.rollback()


def flush() -> None:
    call_command("flush", interactive=False, verbosity=0)
    ContentType.objects.clear_cache()


def run(sql: str, *parameters: Any) -> list[Any]:
    with connections["default"].cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return list(cursor.fetchall()) if cursor.description else []


def told(*arguments: str, **options: Any) -> str:
    """Run a command and return what it printed."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


# ── dumpdata, loaddata ───────────────────────────────────────────────────────────────────────────────────


MOMENT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)  # a dump in JSON keeps milliseconds


def people() -> None:
    """Write users, their groups and what they did."""
    group = Group.objects.create(name="店長")
    for name in ("佐藤", "o'neill", "🦊"):
        user = User.objects.create_user(name, f"{len(name)}@example.com", date_joined=MOMENT)
        user.groups.add(group)
        kind = ContentType.objects.get_for_model(User)
        LogEntry.objects.create(
            user=user,
            content_type=kind,
            object_id=str(user.pk),
            action_flag=1,
            object_repr=name,
            action_time=MOMENT,
        )


APPS = ("contenttypes", "auth", "admin")


@pytest.mark.parametrize("kind", ["json", "xml", "jsonl"])
def test_what_is_dumped_can_be_loaded_and_is_the_same(
    shop: DatabaseWrapper, tmp_path: Path, kind: str
) -> None:
    people()
    file = tmp_path / f"dump.{kind}"
    call_command("dumpdata", *APPS, format=kind, output=str(file), verbosity=0)
    dumped = told("dumpdata", *APPS, format="json")
    flush()
    assert not User.objects.exists()
    told("loaddata", str(file))
    assert told("dumpdata", *APPS, format="json") == dumped
    assert User.objects.create_user("later").pk == 4
    told("loaddata", str(file))  # over itself
    assert User.objects.count() == 4


def test_rows_may_come_before_those_they_reference(shop: DatabaseWrapper, tmp_path: Path) -> None:
    """Foreign keys are checked when all is there."""
    people()
    dumped = told("dumpdata", *APPS, format="json")
    flush()
    file = tmp_path / "backwards.json"
    file.write_text(json.dumps(json.loads(dumped)[::-1]))
    told("loaddata", str(file))
    assert told("dumpdata", *APPS, format="json") == dumped
    with pytest.raises(IntegrityError):  # and at once again
        run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (99, 1)")


def test_a_fixture_whose_rows_point_nowhere_is_refused_as_a_whole(
    shop: DatabaseWrapper, tmp_path: Path
) -> None:
    for last, error in (
        ({"model": "admin.logentry", "pk": 5, "fields": {"user": 99, "action_flag": 1}}, IntegrityError),
        ({"model": "auth.group", "pk": "no number", "fields": {"name": "x"}}, DeserializationError),
    ):
        file = tmp_path / "wrong.json"
        file.write_text(json.dumps([{"model": "auth.group", "pk": 7, "fields": {"name": "first"}}, last]))
        with pytest.raises(error):
            told("loaddata", str(file))
        assert not Group.objects.exists() and not LogEntry.objects.exists()
        with pytest.raises(IntegrityError):
            run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (99, 1)")


# ── flush ────────────────────────────────────────────────────────────────────────────────────────────────


def movement() -> Any:
    """Write a row into an append-only table of the books."""
    item = apps.get_model("ledger", "StockItem")._default_manager.create(sku="lamp")
    return apps.get_model("ledger", "StockMovement")._default_manager.create(
        item=item, kind="receipt", quantity=1, source="test", occurred_at="2026-02-03T00:00Z"
    )


def test_flush_empties_every_table_and_begins_the_ids_anew(shop: DatabaseWrapper) -> None:
    people()
    assert movement().pk == 1
    flush()
    for table in (
        "auth_user",
        "auth_user_groups",
        "django_admin_log",
        "ledger_stockmovement",
        "ledger_stockitem",
    ):
        assert run(f"SELECT count(*) FROM {table}") == [(0,)]
    assert ContentType.objects.exists()  # made again, as after a migration
    assert User.objects.create_user("first").pk == 1
    assert movement().pk == 1


def test_flush_is_refused_by_append_only_tables_where_the_database_is_no_test_database(
    shop: DatabaseWrapper,
) -> None:
    people()
    movement()
    run("DELETE FROM ledger_test_database")
    try:
        with pytest.raises(CommandError, match="couldn't be flushed") as refusal:
            flush()
        assert "append-only" in str(refusal.value.__cause__)
        assert User.objects.count() == 3  # all or nothing
        with pytest.raises(IntegrityError, match="append-only"):
            run("DELETE FROM ledger_stockmovement")
    finally:
        run("INSERT INTO ledger_test_database VALUES (1)")


# ── inspectdb, explain ───────────────────────────────────────────────────────────────────────────────────


def test_inspectdb_writes_what_it_writes_on_sqlite(shop: DatabaseWrapper, tmp_path: Path) -> None:
    settings = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "shapes")}}
    # Django's own reader of collations stumbles over its constraint
    tables = [name for name in shop.introspection.table_names() if name != "ledger_orderline"]
    with closing(SQLite(connections.configure_settings(settings)["default"], "shapes")) as sqlite:
        vars(sqlite.features)["supports_json_field"] = True  # it would ask through `connections`
        with sqlite.cursor() as cursor:
            for (sql,) in run(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index') "
                "AND substr(name, 1, 1) <> '_' AND substr(name, 1, 7) <> 'sqlite_' ORDER BY type DESC, name"
            ):
                cursor.execute(sql)
        connections["default"] = sqlite
        try:
            expected = told("inspectdb", *tables)
        finally:
            connections["default"] = shop
    assert told("inspectdb", *tables) == expected
    whole = told("inspectdb")
    assert "class AuthUser(models.Model):" in whole and "class LedgerOrderline(models.Model):" in whole
    assert "_d1_" not in whole and "Unable to inspect" not in whole
    compile(whole, "inspectdb", "exec")


def test_explain_tells_the_plan(shop: DatabaseWrapper) -> None:
    by_key, by_scan = User.objects.filter(username="x"), User.objects.filter(email="x")
    for _each in range(2):
        assert "SEARCH auth_user USING INDEX" in by_key.explain()
        assert "SCAN auth_user" in by_scan.explain()
        assert by_key.count() == 0
    with transaction.atomic():
        User.objects.create_user("x")
        assert "SEARCH auth_user USING INDEX" in by_key.explain()
        assert by_key.count() == 1


# ── migrate ──────────────────────────────────────────────────────────────────────────────────────────────

SCHEMA = (
    "SELECT type, name, sql FROM sqlite_master WHERE substr(name, 1, 4) NOT IN ('_cf_', '_d1_') ORDER BY name"
)
APPLIED = "SELECT app, name FROM django_migrations ORDER BY id"


def migrate(engine: Engine, database: str, *, until: int | None = None, after: float = 0) -> int:
    """Migrate in a process of its own, which is killed this many seconds after its migration number `until` began.

    Return how many it began.
    """
    command, environment = manage(engine, database, "migrate", "--no-color")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        said = b""
        while part := os.read(process.stdout.fileno(), 1 << 16):
            said += part
            if until is not None and said.count(b"Applying") >= until:
                time.sleep(after)
                process.kill()
    assert process.returncode == (0 if until is None else -signal.SIGKILL), said.decode()
    return said.count(b"Applying")


def look(engine: Engine, database: str, sql: str) -> list[Any]:
    with closing(wrapper(engine, database, "look")) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_migrations_that_are_killed_again_and_again_end_as_those_that_are_not(
    engine: Engine, django_db_blocker: DjangoDbBlocker
) -> None:
    """Each is there as a whole, or not at all: the next run goes on behind it."""
    with django_db_blocker.unblock():
        number = migrate(engine, "test_whole")
        for until, after in ((1, 0.005), (2, 0.02), (9, 0), (number // 3, 0.05), (3, 0.01)):
            migrate(engine, "test_cut", until=until, after=after)
        assert 0 < migrate(engine, "test_cut") < number
        assert look(engine, "test_cut", SCHEMA) == look(engine, "test_whole", SCHEMA)
        assert look(engine, "test_cut", APPLIED) == look(engine, "test_whole", APPLIED)
