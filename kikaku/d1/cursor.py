"""A cursor as PEP 249 has it."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from . import statements
from .log import WriteResult
from .statements import SQL, Kind
from .transport import RawResult
from .values import Row, Statement, render


class Session(Protocol):
    """What a cursor needs of its connection (`dbapi.Connection`)."""

    @property
    def autocommit(self) -> bool: ...
    def select(
        self, sql: str, parameters: Any, *, in_pages: bool
    ) -> tuple[list[str] | None, Iterable[Row], int]: ...
    def write(self, sql: str, parameters: Any, kind: Kind) -> WriteResult: ...
    def write_many(self, sql: str, sets: Sequence[Any], kind: Kind) -> int: ...
    def change_schema(self, sql: str, parameters: Any) -> None: ...
    def savepoint(self, verb: str, name: str) -> None: ...
    def guard_last_id(self, result: WriteResult) -> None: ...
    def raw(self, statement: Statement, *, repeatable: bool = True) -> RawResult: ...


class Cursor:
    """Runs statements, and keeps the rows of the last one."""

    arraysize = 1

    def __init__(self, connection: Session, *, in_pages: bool = False) -> None:
        self.connection = connection
        self.in_pages = in_pages  # rows are fetched as they are needed
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self.rows_read = self.rows_written = 0  # as D1 bills them; it reports none for a dry run
        self._written: WriteResult | None = None
        self._rows: Iterator[Row] = iter(())
        self._closed = False

    def execute(self, sql: str, parameters: Any = None) -> "Cursor":
        """Run a statement with Django's placeholders."""
        self._reset()
        if not isinstance(sql, SQL):
            sql = statements.strip_semicolon(sql)
        kind = statements.kind_of(sql)
        if kind.is_read:
            names, rows, self.rows_read = self.connection.select(sql, parameters, in_pages=self.in_pages)
            self._set_rows(names or _generic_names(sql), rows)
        elif kind.is_write:
            self._write(sql, parameters, kind)
        elif kind.is_schema_change:
            self.connection.change_schema(sql, parameters)
        elif kind.verb in ("SAVEPOINT", "RELEASE", "ROLLBACK"):
            self.connection.savepoint(kind.verb, sql.split()[-1].strip('"'))
        elif kind.verb in ("BEGIN", "COMMIT", "END"):
            raise sqlite3.OperationalError(f"{kind.verb} is not a statement here: use transaction.atomic()")
        else:
            result = self.connection.raw(render(sql, parameters))
            self._set_rows(result.columns, [tuple(row) for row in result.rows])
        return self

    def _write(self, sql: str, parameters: Any, kind: Kind) -> None:
        if self.connection.autocommit and not isinstance(sql, SQL) and statements.has_returning(sql):
            result = self.connection.raw(render(sql, parameters), repeatable=False)
            self._set_rows(result.columns, [tuple(row) for row in result.rows])
            self.rowcount = len(result.rows)
            return
        written = self._written = self.connection.write(sql, parameters, kind)
        self.rowcount, self.rows_written = written.count, written.billed
        if written.rows is not None:
            self._set_rows(_generic_names(sql), written.rows)

    def executemany(self, sql: str, sets: Any) -> "Cursor":
        """Run a write for each set of parameters."""
        self._reset()
        sql = statements.strip_semicolon(sql)
        kind = statements.kind_of(sql)
        if not kind.is_write:
            raise sqlite3.ProgrammingError("executemany() can only execute DML statements.")
        self.rowcount = self.connection.write_many(sql, list(sets), kind)
        return self

    @property
    def lastrowid(self) -> int:
        """The id of the last INSERT. In a block it gets a guard, so that COMMIT gives the same id."""
        if self._written is None:
            return 0
        self.connection.guard_last_id(self._written)
        return self._written.last_id

    def _reset(self) -> None:
        self._check_open()
        self.description, self.rowcount, self._written = None, -1, None
        self.rows_read = self.rows_written = 0
        self._rows = iter(())

    def _set_rows(self, names: list[str], rows: Iterable[Row]) -> None:
        self.description = [(name, None, None, None, None, None, None) for name in names]
        self._rows = iter(rows)

    def fetchone(self) -> Row | None:
        """Return the next row."""
        self._check_open()
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return the next rows, at most `size`."""
        self._check_open()
        return [row for _number, row in zip(range(size or self.arraysize), self._rows, strict=False)]

    def fetchall(self) -> list[Row]:
        """Return the remaining rows."""
        self._check_open()
        return list(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def close(self) -> None:
        """Release the rows; a closed cursor runs nothing."""
        self._closed = True
        self._rows = iter(())

    def _check_open(self) -> None:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed cursor.")


def _generic_names(sql: str) -> list[str]:
    """Return column names for compiled SQL, whose caller uses positions."""
    return [f"c{number}" for number in range(getattr(sql, "columns", 0) or 0)]
