"""A connection as PEP 249 has it, with the transactions that D1 lacks.

Autocommit: one statement, one request. In a block (autocommit off) every statement is tried out with the block's
log, and COMMIT sends the log as one batch. `docs/d1.md` has the drawing.
"""

import json
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError

from . import CommitUnknown, TransactionConflict, statements
from .address import ISOLATIONS
from .cursor import Cursor
from .errors import TOO_BIG, TooBig, lacks_setup, refused_at_commit, translated, unheard
from .reach import Reach
from .statements import SQL, Kind
from .transaction import (
    CONFLICT,
    DEFER,
    SETUP,
    Entry,
    Log,
    Page,
    each_row_as_json,
    forget,
    guard_changes,
    guard_references,
    guard_rowid,
    guard_rows,
    joined,
    named,
    rows_as_json,
    take_ids,
    with_versions,
)
from .transport import MARK, TRIES, Denied, Refused, Result, Silence, Table, Transport
from .values import Inexact, Statement, checked, decode, render

COUNTS = Statement("SELECT json_array(changes(), last_insert_rowid()) AS j")
PAGE = 1_000  # rows of a first page, where a result does not fit into one answer
KEEP = 3_600  # seconds that a COMMIT may be asked about, and that a block may hold a lock
SPARE_IDS = 64  # reserved at once at most, beyond what is needed


class Connection:
    """One database, one thread at a time."""

    def __init__(self, transport: Transport, isolation: str = ISOLATIONS[0]) -> None:
        if isolation not in ISOLATIONS:
            raise ImproperlyConfigured(f"OPTIONS['isolation'] must be one of {', '.join(ISOLATIONS)}.")
        self.transport = transport
        self.isolation = isolation
        self.closed = False
        self.log: Log | None = None  # None in autocommit
        self.queueing = False  # the schema editor's statements wait for the next read, or for its end
        self.defer_references = False  # foreign keys are checked at COMMIT
        self._dropped: Log | None = None  # what was rolled back last
        self._shapes: dict[str, list[str]] = {}  # the columns of raw SQL, by its text
        self._reach = Reach(lambda ask: self.table(Statement(ask)).rows)

    # ── PEP 249 ──────────────────────────────────────────────────────────────────────────────────────────

    def cursor(self) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    def close(self) -> None:
        """End the connection; what a block wrote is dropped. Connections to the host stay in the pool."""
        self.log = None
        self.closed = True

    @property
    def autocommit(self) -> bool:
        """Whether each statement stands for itself."""
        return self.log is None

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        self.log = None if on else Log()

    def rollback(self) -> None:
        """Drop what the block did."""
        if self.log is not None:
            self._dropped, self.log = self.log, Log()

    def commit(self) -> None:
        """Apply what the block did: all of it, once, or nothing.

        Raises:
            TransactionConflict: somebody else changed what the block rests on; nothing was applied.
            CommitUnknown: the answer was lost, and D1 can not be asked.
        """
        if self.log is None:
            return
        log, self.log = self.log, Log()
        if log.writes():
            self._commit(log)
        elif len(log.entries) > 1:  # one read alone is consistent by itself
            self._confirm(log)

    def doomed(self) -> bool:
        """Tell whether what was rolled back last rested on what others have changed since.

        A trial does not run the guards of reads, so a block may go on a little with rows that do not fit together,
        and end in an error that is none of its own.
        """
        log, self._dropped = self._dropped, None
        if log is None or not any(entry.read for entry in log.entries):
            return False
        try:
            self._confirm(log)
        except TransactionConflict:
            return True
        except sqlite3.Error:
            return False
        return False

    # ── Reading ──────────────────────────────────────────────────────────────────────────────────────────

    def select(self, sql: str, parameters: Any) -> tuple[list[str] | None, list[tuple[Any, ...]], int]:
        """Return the names of the columns where they had to be asked for, the rows, and the rows D1 read."""
        query = checked(render(sql, parameters))
        names = None
        columns = sql.columns if isinstance(sql, SQL) else None
        if columns is None:
            names = self._shape(sql, query)
            columns = len(names)
        if self.log is None:
            rows, _text, read = self._read_now(query, columns)
            return names, rows, read
        return (names, *self._read_in_block(self.log, sql, query, columns))

    def _read_now(self, query: Statement, columns: int) -> tuple[list[tuple[Any, ...]], str, int]:
        """Return the rows of what is committed, their text as a guard compares it, and the rows that D1 read."""

        def ask(exact: bool) -> Result:
            select = each_row_as_json(columns, exact=exact)
            return self._run(
                [Statement(f"{named(query.sql, columns)} {select}", query.bound)], repeatable=True
            )[0]

        result = ask(False)
        text = f"[{','.join([one[0] for one in result.rows])}]"
        rows = _exactly(text, columns, lambda: f"[{','.join([one[0] for one in ask(True).rows])}]")
        return rows, text, result.read

    def _read_in_block(
        self, log: Log, sql: str, query: Statement, columns: int
    ) -> tuple[list[tuple[Any, ...]], int]:
        """Read, and guard what was read where the isolation asks for it."""
        keys = getattr(sql, "locks", None)
        holds = keys is not None or self.isolation == "serializable" or log.touches(query.sql)
        if keys:
            query = with_versions(query, columns, keys)
            columns += len(keys)
        read = 0
        pages: list[tuple[Page | None, str]]
        if log.writes():
            pages = self._pages(log, query, columns)
            rows = []
            for page, text in pages:
                rows += _exactly(text, columns, partial(self._page, log, query, columns, page, exact=True))
        else:
            rows, text, read = self._read_now(query, columns)
            pages = [(None, text)]
        # pages that were read one after the other must fit together; chance never gives the same rows again
        if (holds or len(pages) > 1) and not statements.fleeting(sql):
            entry = Entry([guard_rows(query, columns, text, page) for page, text in pages], read=query.sql)
            if keys:
                entry.locks = {(table, row[at]) for row in rows for table, at in keys if row[at] is not None}
            self._add(log, entry)
        return ([row[: -len(keys)] for row in rows] if keys else rows), read

    def _page(
        self, log: Log, query: Statement, columns: int, page: Page | None, *, exact: bool = False
    ) -> str:
        """Return the rows as the block sees them, or a page of them, as JSON. Raises `TooBig`."""
        scalar = rows_as_json(columns, exact=exact, page=page)
        return self._try(log, [], scalar, query=query, columns=columns)

    def _pages(self, log: Log, query: Statement, columns: int) -> list[tuple[Page | None, str]]:
        """Return the rows as the block sees them: in one text, or in as many as they need."""
        try:
            return [(None, self._page(log, query, columns, None))]
        except TooBig:
            pass
        pages: list[tuple[Page | None, str]] = []
        size, offset = PAGE, 0
        while True:
            try:
                text = self._page(log, query, columns, (size, offset))
            except TooBig:
                if size == 1:
                    raise sqlite3.DataError("A row is over 2 MB, more than D1 gives within a block") from None
                size = max(1, size // 4)
                continue
            pages.append(((size, offset), text))
            offset += size
            if len(json.loads(text)) < size:
                return pages

    def _shape(self, sql: str, query: Statement) -> list[str]:
        """Return the names of the columns of raw SQL. D1 is asked once for each text."""
        if sql not in self._shapes:
            names = self._ask_shape(query)
            if self.log is not None and self.log.defines:
                return names  # of tables that others do not know yet
            self._shapes[sql] = names
        return self._shapes[sql]

    def _ask_shape(self, query: Statement) -> list[str]:
        if self.log is None or not self.log.defines:
            probe = Statement(f"SELECT * FROM ({query.sql}\n) LIMIT 0", query.bound)
            names = self.table(probe).columns
        else:
            table = Statement(f"CREATE TABLE _d1_shape AS SELECT * FROM ({query.sql}\n) LIMIT 0", query.bound)
            ask = "SELECT json_group_array(name) FROM pragma_table_info('_d1_shape')"
            names = json.loads(self._try(self.log, [table], ask))
        # SQLite tells equal names of a subquery apart by ":1"
        return [
            base if colon and number.isdigit() else name
            for name in names
            for base, colon, number in [name.rpartition(":")]
        ]

    def table(self, statement: Statement, *, repeatable: bool = True) -> Table:
        """Run a statement as it is, outside of any block: PRAGMA, EXPLAIN. Numbers come as JavaScript has them."""
        try:
            return self.transport.table(checked(statement), repeatable=repeatable)
        except Refused as refusal:
            raise translated(str(refusal)) from None
        except Denied as denial:
            raise sqlite3.OperationalError(str(denial)) from None
        except Silence as silence:
            raise unheard(silence, reads=repeatable) from None

    # ── Writing ──────────────────────────────────────────────────────────────────────────────────────────

    def write(self, sql: str, parameters: Any, kind: Kind) -> "Written":
        """Change rows."""
        statement = checked(render(sql, parameters))
        log = self.log
        if log is None:
            return self._write_now(sql, statement)
        entry = Entry([statement], self._reach.of(kind.table))
        if self.queueing:
            self._add(log, entry, tried=False)
            return Written(-1)
        if word := statements.fleeting(sql):
            raise NotSupportedError(
                f"{word.strip('(')} in a write within a block: D1 runs it twice, and it would give another value "
                "at COMMIT. Give the value as a parameter."
            )
        if not isinstance(sql, SQL) and statements.has_returning(sql):
            raise NotSupportedError(
                "RETURNING within a block: read the rows with a SELECT after the statement."
            )
        returning, columns = getattr(sql, "returning", None), getattr(sql, "columns", None) or 0

        def attempt(exact: bool) -> list[Any]:
            returned = "NULL"
            if returning:
                returned = f"json(({named(returning, columns)} {rows_as_json(columns, exact=exact)}))"
            scalar = f"SELECT json_array(changes(),last_insert_rowid(),{returned})"
            told: list[Any] = json.loads(self._try(log, [statement], scalar))
            return told

        count, last_id, rows = attempt(False)
        if rows is not None:
            rows = _exactly(json.dumps(rows), columns, lambda: json.dumps(attempt(True)[2]))
        reserved = getattr(sql, "reserved", False) or last_id in log.given.get(kind.table, ())
        entry.foreign_ids = kind.verb in ("INSERT", "REPLACE") and not reserved
        if not getattr(sql, "sure", False):
            entry.statements.append(guard_changes(count))
        self._add(log, entry)
        written = Written(count, last_id, rows, entry=entry)
        if rows is not None and not reserved:
            self.hold_last_id(written)
        return written

    def hold_last_id(self, written: "Written") -> None:
        """Hold the id that a block's INSERT was given, when somebody wants to know it: rows may come to refer to it."""
        entry, written.entry = written.entry, None
        if entry is not None and self.log is not None and entry in self.log.entries:
            self.log.hold(entry, guard_rowid(written.last_id))

    def _write_now(self, sql: str, statement: Statement) -> "Written":
        result, counts = self._run([*self._prefix(), statement, COUNTS], repeatable=False)[-2:]
        count, last_id = json.loads(counts.rows[0][0])
        rows = None
        if columns := getattr(sql, "columns", None):
            rows = decode(f"[{','.join([one[0] for one in result.rows])}]", columns)
        return Written(count, last_id, rows, result.written)

    def write_many(self, sql: str, sets: Sequence[Any], kind: Kind) -> int:
        """Run a write for each set of parameters, in autocommit as one atomic batch; return the rows of all."""
        if self.log is not None:
            return sum(self.write(sql, parameters, kind).count for parameters in sets)
        batch = [part for one in sets for part in (checked(render(sql, one)), COUNTS)]
        results = self._run([*self._prefix(), *batch], repeatable=False) if batch else []
        return sum(json.loads(result.rows[0][0])[0] for result in results[len(self._prefix()) + 1 :: 2])

    def define(self, sql: str, parameters: Any) -> None:
        """Change the schema."""
        statement = checked(render(sql, parameters))
        # workerd reads a trigger's lines by LF alone
        statement = Statement(statement.sql.replace("\r\n", "\n").strip(), statement.bound)
        self._shapes.clear()
        self._reach.forget()
        if self.log is None:
            self._run([*self._prefix(), statement], repeatable=False)
        elif self.queueing:
            self._add(self.log, Entry([statement], defines=True), tried=False)
        else:
            self._try(self.log, [statement], "SELECT 1")
            self._add(self.log, Entry([statement], defines=True))

    def apply(self, batch: Sequence[Statement]) -> None:
        """Run statements that may be repeated as one batch, in autocommit, with foreign keys checked at its end."""
        self._shapes.clear()
        self._reach.forget()
        self._run([DEFER, *joined(list(batch))], repeatable=True)

    def _add(self, log: Log, entry: Entry, *, tried: bool = True) -> None:
        log.add(entry)
        log.defers = log.defers or self.defer_references
        log.untried = log.untried or not tried

    def _prefix(self) -> list[Statement]:
        defers = self.defer_references or (self.log is not None and self.log.defers)
        return [DEFER] if defers else []

    # ── Ids ──────────────────────────────────────────────────────────────────────────────────────────────

    def reserve_ids(self, table: str, count: int) -> list[int] | None:
        """Take ids for rows that a block will insert, as a sequence gives them: nobody gets them again.

        None where SQLite is to choose them: in autocommit, after a change of the schema (the table may be the block's
        own), and after rows whose ids SQLite chose (a reservation would shift them at COMMIT).
        """
        log = self.log
        if log is None or log.defines or log.has_foreign_ids(table):
            return None
        ids = log.ids[table]
        if len(ids) < count:
            # a block that inserts again and again asks ever more seldom
            wanted = count - len(ids) + min(4 ** log.reservations[table] - 1, SPARE_IDS)
            log.reservations[table] += 1
            # ids that are lost with an answer leave a gap, no more
            taken = self._run(take_ids(table, wanted), repeatable=True)
            last = int(taken[1].rows[0][0])
            fresh = range(last - wanted + 1, last + 1)
            ids.extend(fresh)
            log.given[table.lower()].update(fresh)
        return [ids.popleft() for _ in range(count)]

    # ── Savepoints ───────────────────────────────────────────────────────────────────────────────────────

    def savepoint(self, verb: str, name: str) -> None:
        """Begin (SAVEPOINT), forget (RELEASE) or go back to (ROLLBACK) a savepoint."""
        if self.log is None:
            raise sqlite3.OperationalError(f"{verb} outside of a block: D1 has no savepoints of its own")
        try:
            {"SAVEPOINT": self.log.save, "RELEASE": self.log.release, "ROLLBACK": self.log.cut}[verb](name)
        except KeyError:
            raise sqlite3.OperationalError(f"no such savepoint: {name}") from None

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────────────

    def _run(self, batch: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Send a batch. Raises what Python's sqlite3 would."""
        try:
            return self._batch(batch, repeatable=repeatable)
        except Refused as refusal:
            raise translated(str(refusal)) from None

    def _batch(self, batch: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Send a batch; when the backend's own tables are missing, make them first. Raises `Refused`."""
        try:
            try:
                return self.transport.batch(batch, repeatable=repeatable)
            except Refused as refusal:
                if not lacks_setup(str(refusal)):
                    raise
            self.transport.batch(SETUP, repeatable=True)
            return self.transport.batch(batch, repeatable=repeatable)
        except Denied as denial:
            raise sqlite3.OperationalError(str(denial)) from None
        except Silence as silence:
            raise unheard(silence, reads=repeatable) from None

    def _try(
        self,
        log: Log,
        tail: list[Statement],
        scalar: str,
        *,
        query: Statement | None = None,
        columns: int = 0,
    ) -> str:
        """Run the log and `tail` for nothing, and return the JSON text that the SELECT `scalar` gives at that point.

        Raises:
            TransactionConflict: the log does not fit the database any more.
            TooBig: the text is over 2 MB.
            sqlite3.Error: `tail` or the query fails.
        """
        # the text may hold anything that customers wrote: what is ours begins where only we can know it
        mark = MARK + secrets.token_hex(8)
        source = named(query.sql, columns) if query else ""
        peek = Statement(
            f"INSERT INTO _d1_peek(payload) {source} SELECT '{mark}'||({scalar})",
            query.bound if query else (),
        )
        batch = [log.commit_row(), *self._prefix(), *log.trial(), *tail, peek]
        try:
            self._batch(batch, repeatable=True)
        except Refused as refusal:
            text = str(refusal)
        else:  # `_d1_peek` refuses every row by a CHECK as well
            raise sqlite3.InternalError("A trial was applied: _d1_peek is not as the backend made it.")
        at = text.find(mark)
        if at >= 0:
            _value, end = json.JSONDecoder().raw_decode(text, at + len(mark))
            log.untried = False
            return text[at + len(mark) : end]
        if any(words in text for words in TOO_BIG):
            raise translated(text)
        # a statement's own error, or a log that does not fit any more: that one fails alone, too
        if CONFLICT in text:
            raise TransactionConflict("Another writer changed what this block read or wrote.")
        if log.entries and not log.untried:
            self._confirm(log)
        raise translated(text)

    def _confirm(self, log: Log) -> None:
        """Run all of a log for nothing. Raises `TransactionConflict` when it does not fit any more."""
        mark = MARK + secrets.token_hex(8)
        peek = Statement(f"INSERT INTO _d1_peek(payload) SELECT '{mark}'")
        try:
            self._batch(
                [log.commit_row(), *([DEFER] if log.defers else []), *log.all(), peek], repeatable=True
            )
        except Refused as refusal:
            if mark not in str(refusal):
                raise TransactionConflict("Another writer changed what this block read or wrote.") from None

    # ── COMMIT ───────────────────────────────────────────────────────────────────────────────────────────

    def _commit(self, log: Log) -> None:
        """Send the log. After a lost answer, ask whether it was applied; when not, make sure it never is, and repeat."""
        for _attempt in range(TRIES):
            batch = [log.commit_row(), *([DEFER] if log.defers else []), *log.all(), *log.lock_rows()]
            if log.defers:
                batch.append(guard_references(log.written))
            if random.randrange(100) == 0:  # noqa: S311  (spreads the work)
                batch += forget(int(time.time()) - KEEP)
            try:
                self.transport.batch(batch, repeatable=False)
                return
            except Denied as denial:
                raise sqlite3.OperationalError(str(denial)) from None
            except Refused as refusal:
                if lacks_setup(str(refusal)):
                    self._batch(SETUP, repeatable=True)
                    continue
                if "_d1_commit.id" in str(refusal) and self._was_applied(log, str(refusal)):
                    return  # something between us and D1 sent it twice
                refused_at_commit(str(refusal), untried=log.untried)
            except Silence as silence:
                if silence.sent and self._was_applied(log, str(silence)):
                    return
                log.commit_id = secrets.randbits(62)
        raise sqlite3.OperationalError("D1 did not take the COMMIT: nothing was written.")

    def _was_applied(self, log: Log, reason: str) -> bool:
        """Put a row in the place of the COMMIT's: either its own is there already, or it can never come any more."""
        stop = f"INSERT OR IGNORE INTO _d1_commit(id, at) VALUES ({log.commit_id}, {-int(time.time())})"
        ask = Statement(f"SELECT at FROM _d1_commit WHERE id={log.commit_id}")
        try:
            return bool(self._batch([Statement(stop), ask], repeatable=True)[1].rows[0][0] > 0)
        except (Refused, sqlite3.Error, IndexError, TypeError):
            raise CommitUnknown(
                f"{reason}. Whether the block was applied is not known: look before you repeat it."
            ) from None


@dataclass(slots=True)
class Written:
    """What a write did."""

    count: int  # rows
    last_id: int = 0
    rows: list[tuple[Any, ...]] | None = None  # what RETURNING gave
    billed: int = 0  # rows written, as D1 counts them
    entry: Entry | None = None  # its place in the block's log


def _exactly(text: str, columns: int, ask_again: Callable[[], str]) -> list[tuple[Any, ...]]:
    """Read rows; where one holds a float that its digits do not tell exactly, ask for the rows once more."""
    try:
        return decode(text, columns)
    except Inexact:
        return decode(ask_again(), columns)
