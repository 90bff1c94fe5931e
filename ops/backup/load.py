"""Restore a backup into an empty database of any engine.

SQLite and PostgreSQL: all or nothing, in one transaction, under the triggers. D1 has no long transactions:
what breaks off leaves rows, and the next restore refuses the database; make a new one then.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models import Model

from kikaku.progress import Progress
from kikaku.transactions import unit_of_work
from ops.backup import dump, file, tables
from ops.backup.file import Contents, Identity, Table
from ops.backup.values import decode

BATCH = 200  # rows of a statement, at most


class RestoreRefused(Exception):
    """The database or the backup is not as a restore needs it; the message says what to do."""


def verify(source: IO[bytes], *, identities: list[Identity]) -> Contents:
    """Read a backup whole and return what it has. Raises `BackupBroken`. No database is used."""
    for kind, value in file.read(source, identities=identities):
        if kind == "row":
            for each in value:
                decode(each)
        elif kind == "contents":
            contents: Contents = value
    return contents


def check_target(contents: Contents) -> None:
    """Raise `RestoreRefused` unless the database is as the migrations of the backup left it.

    What staff have changed in the tables that migrations fill is seen, too: they have accounts, and the audit
    log has what they changed.
    """
    wanted, applied = set(contents.header["migrations"]), set(dump.migrations())
    if wanted != applied:
        release = contents.header["release"] or "of the backup"
        raise RestoreRefused(
            f"the database has other migrations than the backup ({len(wanted - applied)} are missing, "
            f"{len(applied - wanted)} more): use the release {release}, run its manage.py migrate on an "
            "empty database, restore, and migrate on from there"
        )
    filled = [
        model._meta.label
        for model in tables.tables()
        if model._meta.label not in tables.WRITTEN_BY_MIGRATIONS and model._base_manager.exists()
    ]
    if filled:
        raise RestoreRefused(
            f"the database is not empty: {', '.join(filled[:5])}. "
            "Restore into a new one, after manage.py migrate"
        )


def restore(path: Path, *, identities: list[Identity], show_progress: bool = False) -> Contents:
    """Restore a backup and return what it has.

    It is read whole before a row is written. Raises `BackupBroken`, `RestoreRefused`.
    """
    with path.open("rb") as source:
        contents = verify(source, identities=identities)
    check_target(contents)
    progress = Progress("Restore", contents.rows) if show_progress else lambda done: None
    with path.open("rb") as source:
        if dump.engine() == "d1":
            _load(source, identities, progress, write=unit_of_work(_insert))
        else:
            with transaction.atomic():
                _load(source, identities, progress, write=_insert)
    return contents


def _load(
    source: IO[bytes],
    identities: list[Identity],
    progress: Callable[[int], None],
    *,
    write: Callable[[type[Model], list[Any]], None],
) -> None:
    _empty_what_migrations_wrote()
    done = 0
    model: type[Model] = Model
    names: list[str] = []
    batch: list[Model] = []
    last_ids: list[Table] = []
    for kind, value in file.read(source, identities=identities):
        if kind == "table":
            model, names, batch = apps.get_model(value["table"]), value["columns"], []
        elif kind == "row":
            batch.append(model(**dict(zip(names, map(decode, value), strict=True))))
            if len(batch) == BATCH:
                write(model, batch)
                done, batch = done + len(batch), []
                progress(done)
        elif kind == "end":
            if batch:
                write(model, batch)
                done, batch = done + len(batch), []
                progress(done)
            last_ids.append(value)
    _continue_ids(last_ids)


@unit_of_work
def _empty_what_migrations_wrote() -> None:
    """Delete the rows that the migrations wrote: those of the backup take their place."""
    for model in reversed(tables.tables()):
        if model._meta.label in tables.WRITTEN_BY_MIGRATIONS:
            model._base_manager.all()._raw_delete("default")


def _insert(model: type[Model], batch: list[Any]) -> None:
    """Insert rows as they are: no default, no automatic time, no signal."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    for part in _parts(fields, batch):
        manager: Any = model._base_manager
        manager._insert(part, fields=fields, using="default", raw=True)


def _parts(fields: list[Any], batch: list[Any]) -> Iterator[list[Any]]:
    """Yield as many rows as the engine takes in one statement."""
    size = max(1, min(connection.ops.bulk_batch_size(fields, batch), BATCH))
    for begin in range(0, len(batch), size):
        yield batch[begin : begin + size]


@unit_of_work
def _continue_ids(ends: list[Table]) -> None:
    """Let the next id of each table follow the last one that the backup's database had given."""
    with connection.cursor() as cursor:
        for end in ends:
            if end.last_id is None:
                continue
            meta = apps.get_model(end.label)._meta
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                    [f'"{meta.db_table}"', meta.pk.column, max(end.last_id, 1), end.last_id > 0],
                )
            else:
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [meta.db_table])
                cursor.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [meta.db_table, end.last_id]
                )
