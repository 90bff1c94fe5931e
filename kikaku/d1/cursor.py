"""A cursor as PEP 249 has it."""

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import statements
from .statements import SQL, Kind
from .values import render

if TYPE_CHECKING:
    from .dbapi import Connection, Written


class Cursor:
    """Runs statements, and keeps the rows of the last one."""

    arraysize = 1

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.rows_read = self.rows_written = 0  # as D1 bills them; it tells nothing of what runs in a trial
        self._written: Written | None = None
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._closed = False

    def execute(self, sql: str, parameters: Any = None) -> "Cursor":
        """Run a statement with Django's placeholders."""
        self._begin()
        if not isinstance(sql, SQL):
            sql = statements.trimmed(sql)
        kind = statements.kind(sql)
        if kind.reads:
            names, rows, self.rows_read = self.connection.select(sql, parameters)
            self._give(names or _numbers(sql), rows)
        elif kind.writes:
            self._write(sql, parameters, kind)
        elif kind.defines:
            self.connection.define(sql, parameters)
        elif kind.verb in ("SAVEPOINT", "RELEASE", "ROLLBACK"):
            self.connection.savepoint(kind.verb, sql.split()[-1].strip('"'))
        elif kind.verb in ("BEGIN", "COMMIT", "END"):
            raise sqlite3.OperationalError(f"{kind.verb} is no statement here: use transaction.atomic()")
        else:
            found = self.connection.table(render(sql, parameters))
            self._give(found.columns, [tuple(row) for row in found.rows])
        return self

    def _write(self, sql: str, parameters: Any, kind: Kind) -> None:
        if self.connection.autocommit and not isinstance(sql, SQL) and statements.has_returning(sql):
            found = self.connection.table(render(sql, parameters), repeatable=False)
            self._give(found.columns, [tuple(row) for row in found.rows])
            self.rowcount = len(found.rows)
            return
        written = self._written = self.connection.write(sql, parameters, kind)
        self.rowcount, self.rows_written = written.count, written.billed
        if written.rows is not None:
            self._give(_numbers(sql), written.rows)

    def executemany(self, sql: str, sets: Any) -> "Cursor":
        """Run a write for each set of parameters."""
        self._begin()
        sql = statements.trimmed(sql)
        kind = statements.kind(sql)
        if not kind.writes:
            raise sqlite3.ProgrammingError("executemany() can only execute DML statements.")
        self.rowcount = self.connection.write_many(sql, list(sets), kind)
        return self

    @property
    def lastrowid(self) -> int:
        """The id that the last INSERT was given. Within a block, asking makes it certain: it is held to COMMIT."""
        if self._written is None:
            return 0
        self.connection.hold_last_id(self._written)
        return self._written.last_id

    def _begin(self) -> None:
        self._check_open()
        self.description, self.rowcount, self._written = None, -1, None
        self.rows_read = self.rows_written = 0
        self._rows = iter(())

    def _give(self, names: list[str], rows: list[tuple[Any, ...]]) -> None:
        self.description = [(name, None, None, None, None, None, None) for name in names]
        self._rows = iter(rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Return the next row."""
        self._check_open()
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """Return the next rows."""
        self._check_open()
        return [row for _number, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows that are left."""
        self._check_open()
        return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def close(self) -> None:
        """Forget the rows."""
        self._closed = True
        self._rows = iter(())

    def _check_open(self) -> None:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed cursor.")


def _numbers(sql: str) -> list[str]:
    """Name the columns of compiled SQL, whose caller knows them by their place."""
    return [f"c{number}" for number in range(getattr(sql, "columns", 0) or 0)]
