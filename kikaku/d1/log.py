"""The log of a transaction: what its block wrote, and the guards on what the block has seen.

D1's only atomic unit is the batch. So the writes of a block (an `atomic()` transaction) are collected here
and sent as one batch at COMMIT. Until then each new statement is dry-run: the batch of all writes so far, the
statement, and a "probe", an INSERT that always fails and whose error text carries the result. A "guard" makes
a batch fail if what the block has seen has changed.
"""

import secrets
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from .guards import guard_references
from .values import MAX_SQL, Bound, Statement, literal, quoted

MAX_JOINED_BYTES = MAX_SQL - 10_000  # of statements joined into one element of a batch
LOCKS_PER_STATEMENT = 500


def _may_read(sql: str, tables: set[str]) -> bool:
    """Return whether a query may read one of these tables: its name occurs anywhere in the text."""
    if not tables:
        return False
    lower = sql.lower()
    return any(name in lower for name in (*tables, "last_insert_rowid", "changes("))


@dataclass(slots=True, eq=False)
class Entry:
    """One statement of the block, with guards on the result that Django was given (row count, id, rows).

    Of a read only the guard is kept.
    """

    statements: list[Statement]
    tables: frozenset[str] = frozenset()  # that it writes, lower case
    changes_schema: bool = False
    has_unreserved_ids: bool = False  # an INSERT whose ids SQLite chose
    guarded_query: str | None = None  # the entry is only a guard, on this query
    locks: set[tuple[str, Any]] = field(default_factory=set)  # rows locked until COMMIT: (table, key)


@dataclass(slots=True)
class WriteResult:
    """What a write did."""

    count: int  # rows
    last_id: int = 0
    rows: list[tuple[Any, ...]] | None = None  # what RETURNING gave
    billed: int = 0  # rows written, as D1 counts them
    entry: Entry | None = None  # its log entry, as long as no guard for last_id was added


@dataclass(slots=True)
class Log:
    """What a block did so far, in order."""

    entries: list[Entry] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)  # name, number of entries when it began
    # ids reserved by this block, not yet used
    spare_ids: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    # ids reserved by this block, used or not
    reserved_ids: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # times that ids were reserved, by table
    reservations: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    written_tables: set[str] = field(default_factory=set)
    changes_schema: bool = False
    defers_foreign_keys: bool = False  # foreign keys are checked at COMMIT
    # entries since the last dry run were not tried: the next error may be theirs
    has_queued: bool = False
    # COMMIT inserts a row with this id: after a lost answer, its presence shows that COMMIT was applied
    commit_id: int = field(default_factory=lambda: secrets.randbits(62))
    _dry_run: list[Statement] | None = None

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        self.entries.append(entry)
        self._note(entry)

    def add_guard(self, entry: Entry, guard: Statement) -> None:
        """Add a guard to an earlier entry."""
        entry.statements.append(guard)
        self._dry_run = None

    def _note(self, entry: Entry) -> None:
        self.changes_schema = self.changes_schema or entry.changes_schema
        self.written_tables |= entry.tables
        if entry.guarded_query is None:
            self._dry_run = None

    def has_unreserved_ids(self, table: str) -> bool:
        """Return whether the block inserted rows into a table with ids that were not reserved."""
        return any(entry.has_unreserved_ids and table.lower() in entry.tables for entry in self.entries)

    def has_writes(self) -> bool:
        """Return whether there is anything to commit besides guards of reads."""
        return any(entry.guarded_query is None for entry in self.entries)

    def has_guarded_reads(self) -> bool:
        """Return whether any read of the block is guarded."""
        return any(entry.guarded_query for entry in self.entries)

    def may_affect(self, sql: str) -> bool:
        """Return whether a query may read what the block wrote."""
        return _may_read(sql, self.written_tables)

    # ── Savepoints: a length of the log ──────────────────────────────────────────────────────────────────

    def begin_savepoint(self, name: str) -> None:
        """Begin a savepoint."""
        self.savepoints.append((name, len(self.entries)))

    def release_savepoint(self, name: str) -> None:
        """Release a savepoint and those within it. Raises `KeyError` when there is none of this name."""
        del self.savepoints[self._position(name) :]

    def roll_back_to(self, name: str) -> None:
        """Drop what was done since a savepoint, which stays. Raises `KeyError` when there is none.

        Guards of reads since the savepoint stay, because those reads may have decided what follows. A guard
        is dropped only if its read may have seen a dropped write, one to a table that it reads.
        """
        position = self._position(name)
        length = self.savepoints[position][1]
        del self.savepoints[position + 1 :]
        kept: list[Entry] = []
        dropped_tables: set[str] = set()
        for entry in self.entries[length:]:
            if entry.changes_schema:
                break  # later reads may use the dropped schema: drop their guards too
            if entry.guarded_query is None:
                dropped_tables |= entry.tables
            elif not _may_read(entry.guarded_query, dropped_tables):
                kept.append(entry)
        self.entries[length:] = kept
        self.written_tables, self.changes_schema, self._dry_run = set(), False, None
        for entry in self.entries:
            self._note(entry)

    def _position(self, name: str) -> int:
        for position in range(len(self.savepoints) - 1, -1, -1):
            if self.savepoints[position][0] == name:
                return position
        raise KeyError(name)

    # ── Batches ──────────────────────────────────────────────────────────────────────────────────────────

    def dry_run_statements(self) -> list[Statement]:
        """Return what a dry run starts with: all but the guards of reads, which cost as much as the reads."""
        if self._dry_run is None:
            self._dry_run = join_statements(
                [one for entry in self.entries if entry.guarded_query is None for one in entry.statements]
            )
        return self._dry_run

    def all_statements(self) -> list[Statement]:
        """Return all statements and guards of the block."""
        return join_statements([statement for entry in self.entries for statement in entry.statements])

    def lock_statements(self) -> list[Statement]:
        """Return the statements at the end of a COMMIT that record which rows were locked."""
        keys = sorted({(table, literal(key)) for entry in self.entries for table, key in entry.locks})
        now = int(time.time())
        return [
            Statement(
                "INSERT INTO _d1_lock(name, key, version, at) VALUES "
                + ",".join(f"({quoted(table)},{key},{self.commit_id},{now})" for table, key in part)
                + " ON CONFLICT(name, key) DO UPDATE SET version=excluded.version, at=excluded.at"
            )
            for part in (
                keys[at : at + LOCKS_PER_STATEMENT] for at in range(0, len(keys), LOCKS_PER_STATEMENT)
            )
        ]

    def reference_guards(self) -> list[Statement]:
        """Return the guard on foreign keys, where their checks were deferred to COMMIT."""
        return [guard_references(self.written_tables)] if self.defers_foreign_keys else []

    def commit_row(self) -> Statement:
        """Return the INSERT of the row that identifies the COMMIT."""
        return Statement(f"INSERT INTO _d1_commit(id, at) VALUES ({self.commit_id}, {int(time.time())})")


def join_statements(statements: list[Statement]) -> list[Statement]:
    """Return statements joined with `;` into as few elements as D1's limits allow.

    Each element costs 50 to 100 µs.
    Only the last statement of an element may have bindings, and a CREATE (it may be a trigger) has its own
    element.
    """
    elements: list[Statement] = []
    texts: list[str] = []
    size = 0

    def close(bound: tuple[Bound, ...] = ()) -> None:
        nonlocal size
        if texts:
            elements.append(Statement("\n;\n".join(texts), bound))
            texts.clear()
            size = 0

    for statement in statements:
        length = len(statement.sql) if statement.sql.isascii() else len(statement.sql.encode())
        if size + length > MAX_JOINED_BYTES:
            close()
        if statement.sql.lstrip()[:6].upper() == "CREATE":
            close()
            elements.append(statement)
            continue
        texts.append(statement.sql)
        size += length + 3
        if statement.bound:
            close(statement.bound)
    close()
    return elements
