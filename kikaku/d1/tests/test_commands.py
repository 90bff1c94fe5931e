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
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.db import IntegrityError, connections, transaction
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from pytest_django import DjangoDbBlocker

from ..base import DatabaseWrapper
from ..engine import Engine
from ..testing.engine import default_database, manage, running_engine, wrapper


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Run an engine with a database for these tests, and two to migrate."""
    with running_engine(["test_shop", "test_whole", "test_cut"]) as running:
        yield running


@pytest.fixture(scope="module")
def migrated(engine: Engine, django_db_blocker: DjangoDbBlocker) -> Iterator[DatabaseWrapper]:
    """Migrate all apps in this module's own database, which is the default one meanwhile."""
    with django_db_blocker.unblock(), default_database(engine, "test_shop") as shop:
        call_command("migrate", verbosity=0)
        yield shop


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


def output_of(*arguments: str, **options: Any) -> str:
    """Run a command and return what it printed."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


# ── dumpdata, loaddata ───────────────────────────────────────────────────────────────────────────────────


DATETIME = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)  # a dump in JSON keeps milliseconds


def create_people() -> None:
    """Create users, their groups and log entries."""
    group = Group.objects.create(name="店長")
    for name in ("佐藤", "o'neill", "🦊"):
        user = User.objects.create_user(name, f"{len(name)}@example.com", date_joined=DATETIME)
        user.groups.add(group)
        kind = ContentType.objects.get_for_model(User)
        LogEntry.objects.create(
            user=user,
            content_type=kind,
            object_id=str(user.pk),
            action_flag=1,
            object_repr=name,
            action_time=DATETIME,
        )


APPS = ("contenttypes", "auth", "admin")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["json", "xml", "jsonl"])
def test_a_dump_can_be_loaded_and_gives_the_same_dump(
    shop: DatabaseWrapper, tmp_path: Path, kind: str
) -> None:
    create_people()
    file = tmp_path / f"dump.{kind}"
    call_command("dumpdata", *APPS, format=kind, output=str(file), verbosity=0)
    dumped = output_of("dumpdata", *APPS, format="json")
    flush()
    assert not User.objects.exists()
    output_of("loaddata", str(file))
    assert output_of("dumpdata", *APPS, format="json") == dumped
    assert User.objects.create_user("later").pk == 4
    output_of("loaddata", str(file))  # a second time
    assert User.objects.count() == 4


def test_a_fixture_may_list_rows_before_those_they_reference(shop: DatabaseWrapper, tmp_path: Path) -> None:
    """Foreign keys are checked at the end."""
    create_people()
    dumped = output_of("dumpdata", *APPS, format="json")
    flush()
    file = tmp_path / "backwards.json"
    file.write_text(json.dumps(json.loads(dumped)[::-1]))
    output_of("loaddata", str(file))
    assert output_of("dumpdata", *APPS, format="json") == dumped
    with pytest.raises(IntegrityError):  # and immediately again afterwards
        run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (99, 1)")


def test_a_fixture_with_invalid_foreign_keys_is_refused_as_a_whole(
    shop: DatabaseWrapper, tmp_path: Path
) -> None:
    for last, error in (
        ({"model": "admin.logentry", "pk": 5, "fields": {"user": 99, "action_flag": 1}}, IntegrityError),
        ({"model": "auth.group", "pk": "no number", "fields": {"name": "x"}}, DeserializationError),
    ):
        file = tmp_path / "wrong.json"
        file.write_text(json.dumps([{"model": "auth.group", "pk": 7, "fields": {"name": "first"}}, last]))
        with pytest.raises(error):
            output_of("loaddata", str(file))
        assert not Group.objects.filter(name="first").exists() and not LogEntry.objects.exists()
        with pytest.raises(IntegrityError):
            run("INSERT INTO auth_user_groups (user_id, group_id) VALUES (99, 1)")


# ── flush ────────────────────────────────────────────────────────────────────────────────────────────────


def test_flush_empties_every_table_and_begins_the_ids_anew(shop: DatabaseWrapper) -> None:
    create_people()
    flush()
    for table in ("auth_user", "auth_user_groups", "django_admin_log"):
        assert run(f"SELECT count(*) FROM {table}") == [(0,)]
    assert ContentType.objects.exists()  # made again, as after a migration
    assert User.objects.create_user("first").pk == 1


# ── inspectdb, explain ───────────────────────────────────────────────────────────────────────────────────


def test_inspectdb_writes_what_it_writes_on_sqlite(shop: DatabaseWrapper, tmp_path: Path) -> None:
    settings = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "shapes")}}
    tables = [name for name in shop.introspection.table_names() if name.startswith(("auth_", "django_"))]
    with closing(SQLite(connections.configure_settings(settings)["default"], "shapes")) as sqlite:
        vars(sqlite.features)["supports_json_field"] = True  # it would ask through `connections`
        with sqlite.cursor() as cursor:
            for (sql,) in run(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'index') "
                "AND (substr(tbl_name, 1, 5) = 'auth_' OR substr(tbl_name, 1, 7) = 'django_') "
                "ORDER BY type DESC, name"
            ):
                cursor.execute(sql)
        connections["default"] = sqlite
        try:
            expected = output_of("inspectdb", *tables)
        finally:
            connections["default"] = shop
    assert output_of("inspectdb", *tables) == expected
    code = output_of("inspectdb")
    assert "class AuthUser(models.Model):" in code
    assert "_d1_" not in code and "Unable to inspect" not in code
    compile(code, "inspectdb", "exec")


def test_explain_shows_the_plan(shop: DatabaseWrapper) -> None:
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
    """Run `migrate` in a process and return the number of migrations that it began.

    With `until`, the process is killed `after` seconds after it began that many migrations.
    """
    command, environment = manage(engine, database, "migrate", "--no-color", "--skip-checks")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        output = b""
        while part := os.read(process.stdout.fileno(), 1 << 16):
            output += part
            if until is not None and output.count(b"Applying") >= until:
                time.sleep(after)
                process.kill()
    assert process.returncode == (0 if until is None else -signal.SIGKILL), output.decode()
    return output.count(b"Applying")


def look(engine: Engine, database: str, sql: str) -> list[Any]:
    with closing(wrapper(engine, database, "look")) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@pytest.mark.nightly
def test_migrations_that_are_killed_repeatedly_end_in_the_same_schema(
    engine: Engine, django_db_blocker: DjangoDbBlocker
) -> None:
    """Each migration is applied as a whole or not at all, and the next run continues after it."""
    with django_db_blocker.unblock():
        number = migrate(engine, "test_whole")
        for until, after in ((1, 0.005), (2, 0.02), (number // 6, 0), (number // 3, 0.05), (2, 0.01)):
            migrate(engine, "test_cut", until=until, after=after)
        assert 0 < migrate(engine, "test_cut") < number
        assert look(engine, "test_cut", SCHEMA) == look(engine, "test_whole", SCHEMA)
        assert look(engine, "test_cut", APPLIED) == look(engine, "test_whole", APPLIED)
