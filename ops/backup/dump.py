"""Write a backup: every row of one moment, in constant memory.

SQLite and PostgreSQL read a snapshot in one transaction, which delays no writer. D1 has no long transactions:
there the rows are read twice, and it is tried again until both readings are equal. Then every row stood so in
the moment between the readings, unless it changed after its first reading and changed back before its second:
that is not seen. Rows that are only ever added, such as entries and movements, cannot do so; a stock item's
count can. A shop that writes all the time gets no backup that way, and says so.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import AutoField, Model

from kikaku.progress import Progress
from ops.backup import file, tables
from ops.backup.file import FORMAT
from ops.backup.values import encode

PAGE = 1_000  # rows of a query
TRIES = 5  # of a backup on D1


class BackupFailed(Exception):
    """No backup could be written; the message says why."""


def engine() -> str:
    """Return the database's engine: sqlite, postgresql or d1."""
    return "d1" if connection.settings_dict["ENGINE"] == "kikaku.d1" else connection.vendor


@contextmanager
def snapshot() -> Iterator[None]:
    """Let all queries of the block see one moment; on D1 they see the present."""
    if engine() == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield
    elif engine() == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")  # Django's own would take the lock of writers
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")
    else:
        yield


def migrations() -> list[str]:
    """Return the migrations that are applied, as app.name."""
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def rows_of(model: type[Model]) -> Iterator[list[Any]]:
    """Yield the rows of a table by its key, a page at a time."""
    names = tables.columns(model)
    key = model._meta.pk.attname
    place = names.index(key)
    rows = model._base_manager.order_by(key).values_list(*names)
    last: Any = None
    while True:
        page = list((rows if last is None else rows.filter(**{f"{key}__gt": last}))[:PAGE])
        for row in page:
            yield [encode(value) for value in row]
        if len(page) < PAGE:
            return
        last = page[-1][place]


def last_id(model: type[Model]) -> int | None:
    """Return the highest id that a table has ever given; None if its ids are not given by the database."""
    if not isinstance(model._meta.pk, AutoField):
        return None
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", [f'"{table}"', model._meta.pk.column])
            sequence = cursor.fetchone()[0]
            # is_called: whether last_value was given already
            cursor.execute(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608  (its own name)
            value, is_called = cursor.fetchone()
            return int(value) if is_called else int(value) - 1
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
        return int(found[0]) if found else 0


def lines(*, now: datetime, progress: Callable[[int], None] = lambda done: None) -> Iterator[bytes]:
    """Yield the lines of a backup."""
    done = 0
    models = tables.tables()
    yield file.line(
        {
            "backup": FORMAT,
            "made_at": now.isoformat(),
            "release": settings.RELEASE,
            "engine": engine(),
            "migrations": migrations(),
        }
    )
    for model in models:
        yield file.line({"table": model._meta.label, "columns": tables.columns(model)})
        digest, rows = hashlib.sha256(), 0
        for row in rows_of(model):
            text = file.line(row)
            digest.update(text)
            rows += 1
            yield text
            done += 1
            if done % PAGE == 0:
                progress(done)
        yield file.line(
            {"end": model._meta.label, "rows": rows, "sha256": digest.hexdigest(), "last_id": last_id(model)}
        )
    progress(done)
    yield file.line({"tables": len(models), "rows": done})


def count_rows() -> int:
    """Return about how many rows a backup will have, for its progress; a query for each table."""
    return sum(model._base_manager.count() for model in tables.tables())


def fingerprint(*, now: datetime) -> str:
    """Return the SHA-256 of all lines, without writing them."""
    digest = hashlib.sha256()
    for text in lines(now=now):
        digest.update(text)
    return digest.hexdigest()


def write(
    open_target: Callable[[], Any], *, now: datetime, recipient: Any = None, show_progress: bool = False
) -> str:
    """Write a backup into a new file and return its SHA-256. Raises `BackupFailed`.

    `open_target` returns an empty file to write into; on D1 it may be called again.
    """
    for _try in range(TRIES):
        plain = hashlib.sha256()

        def hashed(plain: Any = plain) -> Iterator[bytes]:
            progress = Progress("Backup", count_rows()) if show_progress else lambda done: None
            for text in lines(now=now, progress=progress):
                plain.update(text)
                yield text

        with snapshot():
            written = file.write(hashed(), open_target(), recipient=recipient)
        if engine() != "d1" or fingerprint(now=now) == plain.hexdigest():
            return written
    raise BackupFailed("the shop was written to during each of five readings: try again when it is calmer")
