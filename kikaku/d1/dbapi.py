"""A connection as PEP 249 has it, with the transactions that D1 lacks.

In autocommit a statement is one request. In a block (autocommit off) every statement runs in a dry run
together with the block's log, and COMMIT sends the log as one batch. README.md has the diagram.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError

from . import statements
from .address import ISOLATION_LEVELS
from .affected_tables import AffectedTables
from .columns import ColumnNames, without_numbers
from .cursor import Cursor
from .errors import TooBig
from .exceptions import TransactionConflict
from .executor import Executor
from .guards import (
    DEFER_FOREIGN_KEYS,
    Page,
    advance_sequence,
    as_cte,
    each_row_as_json,
    guard_changes,
    guard_rowid,
    guard_rows,
    rows_as_json,
    with_lock_versions,
)
from .log import Entry, Log, WriteResult, join_statements
from .nondeterminism import nondeterministic
from .pages import Answer, read_pages
from .statements import SQL, Kind
from .transport import RawResult, Result, Transport
from .values import InexactFloat, Row, Statement, check_limits, check_readable, decode, render

COUNTS = Statement("SELECT json_array(changes(), last_insert_rowid()) AS j")
FIRST_PAGE_ROWS = 1_000  # where a result does not fit into one answer
MAX_GUARDED = 500_000  # characters of rows that one guard compares; it binds them, and D1 binds 2 MB
WITHOUT_VARYING = "D1 runs it again at COMMIT, with another result. Give the value as a parameter."
MAX_SPARE_IDS = 64  # reserved at once, beyond what is needed


class Connection:
    """A connection to one database, for one thread at a time."""

    def __init__(self, transport: Transport, isolation: str = ISOLATION_LEVELS[0]) -> None:
        if isolation not in ISOLATION_LEVELS:
            raise ImproperlyConfigured(f"OPTIONS['isolation'] must be one of {', '.join(ISOLATION_LEVELS)}.")
        self.transport = transport
        self.isolation = isolation
        self.closed = False
        self.log: Log | None = None  # None in autocommit
        self.is_queueing = False  # writes and schema changes run with the next statement, or at COMMIT
        self.defer_foreign_keys = False  # foreign keys are checked at COMMIT
        self._executor = Executor(transport)
        self._rolled_back: Log | None = None  # log of the block that was rolled back last
        self._column_names = ColumnNames(self.raw)
        self._affected_tables = AffectedTables(lambda sql: self.raw(Statement(sql)).rows)

    # ── PEP 249 ──────────────────────────────────────────────────────────────────────────────────────────

    def cursor(self, *, in_pages: bool = False) -> Cursor:
        """Return a cursor; one that reads `in_pages` fetches rows as they are needed."""
        return Cursor(self, in_pages=in_pages)

    def close(self) -> None:
        """Close the connection and drop what a block wrote. The HTTP connections stay in the pool."""
        self.log = None
        self.closed = True

    @property
    def autocommit(self) -> bool:
        """Return whether each statement is its own transaction."""
        return self.log is None

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        self.log = None if on else Log()

    def rollback(self) -> None:
        """Drop what the block did."""
        if self.log is not None:
            self._rolled_back, self.log = self.log, Log()

    def commit(self) -> None:
        """Apply what the block did: all of it, once, or nothing.

        Raises:
            TransactionConflict: another writer changed rows that the block read or wrote; nothing
                was applied.
            CommitUnknown: the answer was lost, and D1 cannot be asked.
        """
        if self.log is None:
            return
        log, self.log = self.log, Log()
        if log.has_writes():
            self._executor.commit(log)
        elif len(log.entries) > 1:  # a single read is consistent by itself
            self._executor.verify(log)

    def is_stale(self) -> bool:
        """Return whether the block that was rolled back last had read rows that have changed since.

        Dry runs do not check the guards of reads. So a block may see some rows from before another writer's
        COMMIT and some from after it, and fail with an error that only results from this.
        """
        log, self._rolled_back = self._rolled_back, None
        if log is None or not log.has_guarded_reads():
            return False
        try:
            self._executor.verify(log)
        except TransactionConflict:
            return True
        except sqlite3.Error:
            return False
        return False

    # ── Reading ──────────────────────────────────────────────────────────────────────────────────────────

    def select(
        self, sql: str, parameters: Any, *, in_pages: bool = False
    ) -> tuple[list[str] | None, Iterable[Row], int]:
        """Return (column names of raw SQL, else None; rows; number of rows that D1 read).

        With `in_pages` the rows come with several requests, where the compiler found a key to page by; the
        number is then that of the first page.
        """
        if isinstance(sql, SQL) and statements.LOCKED_SUBQUERY in sql:
            raise NotSupportedError(
                "select_for_update() in a subquery: lock the rows first, with a query of their own."
            )
        query = check_limits(render(sql, parameters))
        if not isinstance(sql, SQL) or sql.columns is None:
            return self._select_raw(sql, query)
        if in_pages and sql.page_key is not None:
            pages = read_pages(partial(self._read, sql), query, sql.columns, *sql.page_key)
            first = next(pages)
            return None, chain(first.rows, chain.from_iterable(page.rows for page in pages)), first.read
        return (None, *self._read(sql, query, sql.columns)[:2])

    def _select_raw(self, sql: str, query: Statement) -> tuple[list[str], list[Row], int]:
        """Return (column names, rows, number of rows that D1 read) of a SELECT with unknown columns."""
        if self.log is not None and self.log.changes_schema:
            names = self._names_in_block(self.log, query)  # of tables that may exist only in this block
            return (names, *self._read(sql, query, len(names))[:2])
        while True:
            columns = self._column_names.of(sql, query)
            if columns.check is None:
                return (columns.names, *self._read(sql, query, len(columns.names))[:2])
            # one more column is true as long as the tables are as they were when the names were asked
            checked = Statement(f"SELECT *,{columns.check} FROM ({query.sql}\n)", query.bound)
            try:
                rows, read, _size = self._read(sql, checked, len(columns.names) + 1)
            except sqlite3.OperationalError:  # another number of columns, or the statement's own error
                if columns.is_fresh:
                    raise
                rows = []
            if all(row[-1] for row in rows) and (rows or columns.is_fresh):
                return columns.names, [row[:-1] for row in rows], read
            self._column_names.forget(sql)

    def _read(self, sql: str, query: Statement, columns: int) -> Answer:
        """Return the rows of a query, committed or as the block sees them."""
        if self.log is None:
            rows, text, read = self._read_committed(query, columns)
            return Answer(rows, read, len(text))
        return self._read_in_block(self.log, sql, query, columns)

    def _read_committed(self, query: Statement, columns: int) -> tuple[list[Row], str, int]:
        """Return (committed rows, their text as a guard compares it, number of rows that D1 read)."""

        def ask(exact: bool) -> Result:
            select = each_row_as_json(columns, exact=exact)
            statement = Statement(f"{as_cte(query.sql, columns)} {select}", query.bound)
            return self._executor.run([statement], repeatable=True)[0]

        result = ask(False)
        text = _as_list(result)
        return _decode_exactly(text, columns, lambda: _as_list(ask(True))), text, result.read

    def _read_in_block(self, log: Log, sql: str, query: Statement, columns: int) -> Answer:
        """Return the rows as the block sees them, and guard them where the isolation needs it.

        Raises `NotSupportedError` for rows that need a guard and cannot have one.
        """
        # None: no lock; (): locks rows but selects no primary key, so they are guarded without lock versions
        locked_keys = getattr(sql, "locks", None)
        is_serializable, is_affected = self.isolation == "serializable", log.may_affect(query.sql)
        varying = nondeterministic(query.sql)
        is_raw_and_affected = is_affected and not isinstance(sql, SQL)  # `order_by("?")` is left unguarded
        if varying and (locked_keys is not None or is_serializable or is_raw_and_affected):
            raise NotSupportedError(f"{varying} in a read that a guard must repeat: {WITHOUT_VARYING}")
        if locked_keys:
            query = with_lock_versions(query, columns, locked_keys)
            columns += len(locked_keys)
        read = 0
        pages: list[tuple[Page | None, str]]
        if log.has_writes():
            pages = self._pages(log, query, columns)
            rows = self._decode_pages(log, query, columns, pages)
        else:
            rows, text, read = self._read_committed(query, columns)
            pages = [(None, text)]
        # a lock of no rows locks nothing: another writer may insert what was not there
        needs_guard = is_serializable or is_affected or (locked_keys is not None and bool(rows))
        if needs_guard and len(pages) == 1 and len(pages[0][1]) > MAX_GUARDED:
            pages = self._pages(log, query, columns)
            rows = self._decode_pages(log, query, columns, pages)
        if varying and len(pages) > 1:
            raise NotSupportedError(f"{varying} in a read of over 2 MB within a block: {WITHOUT_VARYING}")
        # Pages are read one after the other: the guards make sure at COMMIT that all show the same state.
        if (needs_guard or len(pages) > 1) and not varying:
            guards = [guard_rows(query, columns, text, page) for page, text in pages]
            entry = Entry(guards, guarded_query=query.sql)
            if locked_keys:
                entry.locks = {
                    (table, row[at]) for row in rows for table, at in locked_keys if row[at] is not None
                }
            self._add(log, entry)
        size = sum(len(text) for _page, text in pages)
        return Answer([row[: -len(locked_keys)] for row in rows] if locked_keys else rows, read, size)

    def _page(
        self, log: Log, query: Statement, columns: int, page: Page | None, *, exact: bool = False
    ) -> str:
        """Return the rows as the block sees them, or a page of them, as JSON. Raises `TooBig`."""
        scalar = rows_as_json(columns, exact=exact, page=page)
        return self._dry_run(log, [], scalar, query=query, columns=columns)

    def _pages(self, log: Log, query: Statement, columns: int) -> list[tuple[Page | None, str]]:
        """Return the rows as the block sees them: as one text, or as many as they need."""
        try:
            return [(None, self._page(log, query, columns, None))]
        except TooBig:
            pass
        pages: list[tuple[Page | None, str]] = []
        size, offset = FIRST_PAGE_ROWS, 0
        while True:
            try:
                text = self._page(log, query, columns, (size, offset))
            except TooBig:
                if size == 1:
                    raise sqlite3.DataError(
                        "A row is over 2 MB, more than D1 returns within a block"
                    ) from None
                size = max(1, size // 4)
                continue
            pages.append(((size, offset), text))
            offset += size
            if len(json.loads(text)) < size:
                return pages

    def _decode_pages(
        self, log: Log, query: Statement, columns: int, pages: list[tuple[Page | None, str]]
    ) -> list[Row]:
        rows: list[Row] = []
        for page, text in pages:
            ask_again = partial(self._page, log, query, columns, page, exact=True)
            rows += _decode_exactly(text, columns, ask_again)
        return rows

    def _names_in_block(self, log: Log, query: Statement) -> list[str]:
        """Return the column names of a query that may read what the block created."""
        create = f"CREATE TABLE _d1_columns AS SELECT * FROM ({query.sql}\n) LIMIT 0"
        ask = "SELECT json_group_array(name) FROM pragma_table_info('_d1_columns')"
        names = json.loads(self._dry_run(log, [Statement(create, query.bound)], ask))
        return without_numbers(names)

    def raw(self, statement: Statement, *, repeatable: bool = True) -> RawResult:
        """Run a statement outside of any block: PRAGMA, EXPLAIN. Integers beyond 2^53 lose digits."""
        return self._executor.raw(statement, repeatable=repeatable)

    def database_size(self) -> int:
        """Return the size of the database in bytes, which D1 reports with each batch; 0 if it did not."""
        self.transport.batch([Statement("SELECT 1 AS c0")], repeatable=True)
        return self.transport.database_size

    # ── Writing ──────────────────────────────────────────────────────────────────────────────────────────

    def write(self, sql: str, parameters: Any, kind: Kind) -> WriteResult:
        """Run an INSERT, UPDATE or DELETE; return its row count, last id and RETURNING rows.

        The row count of a queued write is -1: it runs later. Raises `NotSupportedError` for a write within a
        block that would give another result at COMMIT.
        """
        check_readable(parameters, getattr(sql, "rows", None))
        statement = check_limits(render(sql, parameters))
        if self.log is None:
            return self._write_now(sql, statement)
        entry = Entry([statement], self._affected_tables.of(kind.table))
        if self.is_queueing:
            self._add(self.log, entry, queued=True)
            return WriteResult(-1)
        _check_repeatable(sql, statement)
        return self._write_in_block(self.log, sql, kind, entry)

    def _write_in_block(self, log: Log, sql: str, kind: Kind, entry: Entry) -> WriteResult:
        returning, columns = getattr(sql, "returning", None), getattr(sql, "columns", None) or 0

        def attempt(exact: bool) -> list[Any]:
            returned = "NULL"
            if returning:
                returned = f"json(({as_cte(returning, columns)} {rows_as_json(columns, exact=exact)}))"
            scalar = f"SELECT json_array(changes(),last_insert_rowid(),{returned})"
            result: list[Any] = json.loads(self._dry_run(log, entry.statements, scalar))
            return result

        count, last_id, rows = attempt(False)
        if rows is not None:
            rows = _decode_exactly(json.dumps(rows), columns, lambda: json.dumps(attempt(True)[2]))
        has_reserved_ids = getattr(sql, "has_reserved_ids", False) or (
            last_id in log.reserved_ids.get(kind.table, ())
        )
        entry.has_unreserved_ids = kind.verb in ("INSERT", "REPLACE") and not has_reserved_ids
        if not getattr(sql, "skip_count_guard", False):
            entry.statements.append(guard_changes(count))
        self._add(log, entry)
        result = WriteResult(count, last_id, rows, entry=entry)
        if rows is not None and not has_reserved_ids:
            self.guard_last_id(result)
        return result

    def guard_last_id(self, result: WriteResult) -> None:
        """Guard the id that a block's INSERT was given, because other rows may now refer to it."""
        entry, result.entry = result.entry, None
        if entry is not None and self.log is not None and entry in self.log.entries:
            self.log.add_guard(entry, guard_rowid(result.last_id))

    def _write_now(self, sql: str, statement: Statement) -> WriteResult:
        batch = [*self._defer_statement(), statement, COUNTS]
        result, counts = self._executor.run(batch, repeatable=False)[-2:]
        count, last_id = json.loads(counts.rows[0][0])
        rows = None
        if columns := getattr(sql, "columns", None):
            rows = decode(_as_list(result), columns)
        return WriteResult(count, last_id, rows, result.written)

    def write_many(self, sql: str, sets: Sequence[Any], kind: Kind) -> int:
        """Run a write for each set of parameters, in autocommit as one batch; return the number of rows.

        The number is -1 when the writes are queued.
        """
        if self.log is not None:
            counts = [self.write(sql, parameters, kind).count for parameters in sets]
            return -1 if -1 in counts else sum(counts)
        if not sets:
            return 0
        batch = self._defer_statement()
        skipped = len(batch)
        for parameters in sets:
            check_readable(parameters, None)
            batch += [check_limits(render(sql, parameters)), COUNTS]
        results = self._executor.run(batch, repeatable=False)[skipped:]
        return sum(json.loads(counts.rows[0][0])[0] for counts in results[1::2])

    def change_schema(self, sql: str, parameters: Any) -> None:
        """Run a CREATE, ALTER or DROP."""
        statement = check_limits(render(sql, parameters))
        # workerd separates a trigger's lines by LF alone
        statement = Statement(statement.sql.replace("\r\n", "\n").strip(), statement.bound)
        self._forget_schema()
        if self.log is None:
            self._executor.run([*self._defer_statement(), statement], repeatable=False)
            return
        if not self.is_queueing:
            self._dry_run(self.log, [statement], "SELECT 1")
        self._add(self.log, Entry([statement], changes_schema=True), queued=self.is_queueing)

    def run_batch(self, batch: Sequence[Statement]) -> None:
        """Run repeatable statements as one batch, in autocommit, with foreign keys checked at its end."""
        self._forget_schema()
        self._executor.run([DEFER_FOREIGN_KEYS, *join_statements(list(batch))], repeatable=True)

    def _forget_schema(self) -> None:
        self._column_names.clear()
        self._affected_tables.clear()

    def _add(self, log: Log, entry: Entry, *, queued: bool = False) -> None:
        log.add(entry)
        log.defers_foreign_keys = log.defers_foreign_keys or self.defer_foreign_keys
        log.has_queued = log.has_queued or queued

    def _defer_statement(self) -> list[Statement]:
        """Return the PRAGMA that starts a batch whose foreign keys are checked at its end, if they are."""
        is_deferred = self.defer_foreign_keys or (self.log is not None and self.log.defers_foreign_keys)
        return [DEFER_FOREIGN_KEYS] if is_deferred else []

    def _dry_run(
        self,
        log: Log,
        tail: list[Statement],
        scalar: str,
        *,
        query: Statement | None = None,
        columns: int = 0,
    ) -> str:
        return self._executor.dry_run(
            log, tail, scalar, defer=self.defer_foreign_keys, query=query, columns=columns
        )

    # ── Ids ──────────────────────────────────────────────────────────────────────────────────────────────

    def reserve_ids(self, table: str, count: int) -> list[int] | None:
        """Return ids for rows that a block will insert. The table's sequence never gives them again.

        None where SQLite must choose them: in autocommit, after a change of the schema (the table may exist
        in this block alone), and after rows whose ids SQLite chose (a reservation would shift them at
        COMMIT).
        """
        log = self.log
        if log is None or log.changes_schema or log.has_unreserved_ids(table):
            return None
        ids = log.spare_ids[table]
        if len(ids) < count:
            # a block that inserts again and again reserves more each time, so that it asks less often
            wanted = count - len(ids) + min(4 ** log.reservations[table] - 1, MAX_SPARE_IDS)
            log.reservations[table] += 1
            # ids that are lost with an answer leave a gap, which does no harm
            results = self._executor.run(advance_sequence(table, wanted), repeatable=True)
            last = int(results[1].rows[0][0])
            fresh = range(last - wanted + 1, last + 1)
            ids.extend(fresh)
            log.reserved_ids[table.lower()].update(fresh)
        return [ids.popleft() for _ in range(count)]

    # ── Savepoints ───────────────────────────────────────────────────────────────────────────────────────

    def savepoint(self, verb: str, name: str) -> None:
        """Begin (SAVEPOINT), release (RELEASE) or roll back to (ROLLBACK) a savepoint."""
        if self.log is None:
            raise sqlite3.OperationalError(f"{verb} outside of a block: D1 has no savepoints of its own")
        act = {
            "SAVEPOINT": self.log.begin_savepoint,
            "RELEASE": self.log.release_savepoint,
            "ROLLBACK": self.log.roll_back_to,
        }[verb]
        try:
            act(name)
        except KeyError:
            raise sqlite3.OperationalError(f"no such savepoint: {name}") from None


def _check_repeatable(sql: str, statement: Statement) -> None:
    """Raise `NotSupportedError` for a write that a block cannot run twice: in a dry run and at COMMIT."""
    if varying := nondeterministic(statement.sql):
        raise NotSupportedError(f"{varying} in a write within a block: {WITHOUT_VARYING}")
    if not isinstance(sql, SQL) and statements.has_returning(sql):
        raise NotSupportedError("RETURNING within a block: read the rows with a SELECT after the statement.")


def _as_list(result: Result) -> str:
    """Return the JSON list of rows that came as one JSON text each."""
    return f"[{','.join([row[0] for row in result.rows])}]"


def _decode_exactly(text: str, columns: int, ask_again: Callable[[], str]) -> list[Row]:
    """Return the rows; where the 17 digits of a float are not exact, get them again in the exact format."""
    try:
        return decode(text, columns)
    except InexactFloat:
        return decode(ask_again(), columns)
