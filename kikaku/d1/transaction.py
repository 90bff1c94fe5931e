"""The log of a transaction: what its block wrote, and the guards that hold what it was told.

D1 has one atomic unit, the batch. A block's writes are therefore kept here, tried out together with each further
statement (a batch that ends in a `peek` always aborts, and its error text carries the rows), and sent once at
COMMIT. A guard is an INSERT into `_d1_guard` that inserts a NULL, which that table refuses, unless something is
still as the block has seen it.
"""

import json
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .values import INLINE_AT_MOST, MAX_SQL, Bound, Statement, identifier, literal, quoted, row

# What the backend keeps in the database. Made when the first block finds that it is missing.
SETUP = [
    # the CHECK refuses every row, so that no trial is ever applied, not even without the trigger
    Statement("CREATE TABLE IF NOT EXISTS _d1_peek (payload TEXT CHECK (payload IS NULL))"),
    Statement(
        "CREATE TRIGGER IF NOT EXISTS _d1_peek_tells BEFORE INSERT ON _d1_peek "
        "BEGIN SELECT RAISE(ABORT, NEW.payload); END"
    ),
    Statement(
        "CREATE TABLE IF NOT EXISTS _d1_guard (ok INTEGER NOT NULL, reference INTEGER NOT NULL DEFAULT 1)"
    ),
    # the last block that locked a row, while another may hold it
    Statement(
        "CREATE TABLE IF NOT EXISTS _d1_lock (name TEXT NOT NULL, key NOT NULL, version INTEGER NOT NULL, "
        "at INTEGER NOT NULL, PRIMARY KEY (name, key)) WITHOUT ROWID"
    ),
    Statement("CREATE TABLE IF NOT EXISTS _d1_commit (id INTEGER PRIMARY KEY, at INTEGER NOT NULL)"),
    # brings sqlite_sequence into being, from which ids are reserved
    Statement("CREATE TABLE IF NOT EXISTS _d1_sequence (id INTEGER PRIMARY KEY AUTOINCREMENT)"),
]
OWN_TABLES = ("_d1_peek", "_d1_guard", "_d1_lock", "_d1_commit", "_d1_sequence")
CONFLICT = "NOT NULL constraint failed: _d1_guard.ok"
DANGLING = "NOT NULL constraint failed: _d1_guard.reference"

DEFER = Statement("PRAGMA defer_foreign_keys=on")
Page = tuple[int, int]  # of a result: rows, offset
LONG = 4_000  # characters of a query whose expressions may be costly
JOINED = MAX_SQL - 10_000  # bytes of statements joined into one element of a batch


def named(sql: str, columns: int) -> str:
    """Return `WITH _q(c0, …) AS (the query)`; the line's end closes a comment that the query may end with.

    Without MATERIALIZED, SQLite writes an expression out at each use of its column, a subquery as well, and works it
    out as often; with it, D1 bills a row twice.
    """
    costly = len(sql) > LONG or sql.upper().rfind("SELECT") > 0
    return f"WITH _q({','.join(_names(columns))}) AS {'MATERIALIZED ' if costly else ''}({sql}\n)"


def rows_as_json(columns: int, *, exact: bool = False, page: Page | None = None) -> str:
    """Return the SELECT of all rows of `_q` as one JSON text, or of a page of them."""
    source = "_q" if page is None else f"(SELECT * FROM _q LIMIT {page[0]} OFFSET {page[1]})"
    return f"SELECT json_group_array({row(_names(columns), exact=exact)}) FROM {source}"


def each_row_as_json(columns: int, *, exact: bool = False) -> str:
    """Return the SELECT of one JSON text for each row of `_q`."""
    return f"SELECT {row(_names(columns), exact=exact)} AS j FROM _q"


def _names(columns: int) -> list[str]:
    return [f"c{number}" for number in range(columns)]


def with_versions(query: Statement, columns: int, keys: Sequence[tuple[str, int]]) -> Statement:
    """Add a column for each locked row: the last block that locked it. `keys` are (table, column of its key).

    A guard on these columns makes a lock exclude others: of two blocks that hold a row at the same time, the second
    to commit finds another version, even when the first left the row as it was.
    """
    versions = "".join(
        f",(SELECT version FROM _d1_lock WHERE name={quoted(table)} AND key=_l.c{at})" for table, at in keys
    )
    held = named(query.sql, columns).replace("WITH _q(", "WITH _l(", 1)
    return Statement(f"{held} SELECT *{versions} FROM _l", query.bound)


def forget(before: int) -> list[Statement]:
    """Delete the traces of blocks that ended before an instant (seconds since 1970)."""
    return [
        Statement(f"DELETE FROM _d1_commit WHERE abs(at)<{before}"),
        Statement(f"DELETE FROM _d1_lock WHERE at<{before}"),
    ]


def take_ids(table: str, count: int) -> list[Statement]:
    """Move a table's sequence on by so many ids, past those that stand in it; the second gives the last of them."""
    name = quoted(table)
    return [
        Statement(
            f"INSERT INTO sqlite_sequence(name, seq) SELECT {name}, 0 "
            f"WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name={name})"
        ),
        Statement(
            f"UPDATE sqlite_sequence SET seq=max(seq, (SELECT ifnull(max(rowid),0) FROM {identifier(table)}))+{count} "
            f"WHERE name={name} RETURNING CAST(seq AS TEXT) AS seq"
        ),
    ]


def guard_changes(count: int) -> Statement:
    """Hold the number of rows that the statement directly before changed."""
    return Statement(f"INSERT INTO _d1_guard(ok) SELECT NULL WHERE changes()<>{count}")


def guard_rowid(rowid: int) -> Statement:
    """Hold the id that the INSERT directly before was given."""
    return Statement(f"INSERT INTO _d1_guard(ok) SELECT NULL WHERE last_insert_rowid()<>{rowid}")


def guard_rows(query: Statement, columns: int, seen: str, page: Page | None = None) -> Statement:
    """Hold the rows that a query gave, as the JSON text that was seen."""
    start = f"INSERT INTO _d1_guard(ok) {named(query.sql, columns)} SELECT NULL WHERE ({rows_as_json(columns, page=page)}) IS NOT "
    if len(seen) <= INLINE_AT_MOST and "\0" not in seen:
        return Statement(start + quoted(seen), query.bound)
    return Statement(f"{start}?{len(query.bound) + 1}", (*query.bound, seen))


def guard_references(tables: set[str]) -> Statement:
    """Hold that every foreign key of these tables points at a row, where the checks were put off to COMMIT."""
    return Statement(
        f"INSERT INTO _d1_guard(ok, reference) SELECT 1, NULL WHERE EXISTS({violations(tables)})"
    )


def violations(tables: Iterable[str]) -> str:
    """Select what is wrong with the foreign keys of those tables that are there, as PRAGMA foreign_key_check has it."""
    listed = quoted(json.dumps(sorted(tables), ensure_ascii=False))
    return (
        "SELECT violation.* FROM (SELECT value AS name FROM "
        f"json_each({listed}) WHERE value IN (SELECT name FROM sqlite_master)) AS checked, "
        "pragma_foreign_key_check(checked.name) AS violation"
    )


def _touches(sql: str, written: set[str]) -> bool:
    """Whether a query may read what was written: the name of a table stands somewhere in its text."""
    if not written:
        return False
    lower = sql.lower()
    return any(name in lower for name in (*written, "last_insert_rowid", "changes("))


@dataclass(slots=True, eq=False)
class Entry:
    """One act of the block, with the guards that hold what was told of it."""

    statements: list[Statement]
    tables: frozenset[str] = frozenset()  # written, lower case
    defines: bool = False  # changes the schema
    foreign_ids: bool = False  # an INSERT whose ids were not reserved by us
    read: str | None = None  # only a guard, of this query
    locks: set[tuple[str, Any]] = field(
        default_factory=set
    )  # rows nobody else may lock meanwhile: table, key


@dataclass(slots=True)
class Log:
    """What a block did so far, in order."""

    entries: list[Entry] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)
    # ids that were reserved: those not yet used, all of them, and how often it was asked
    ids: dict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    given: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    reservations: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    written: set[str] = field(default_factory=set)
    defines: bool = False
    defers: bool = False  # foreign keys are checked at COMMIT
    untried: bool = False  # the end of the log was queued without a trial: an error may be its own
    # unique for each block; its row tells whether a COMMIT whose answer was lost was applied
    commit_id: int = field(default_factory=lambda: secrets.randbits(62))
    _trial: list[Statement] | None = None

    def add(self, entry: Entry) -> None:
        """Append an act."""
        self.entries.append(entry)
        self._note(entry)

    def hold(self, entry: Entry, guard: Statement) -> None:
        """Add a guard to an act of before."""
        entry.statements.append(guard)
        self._trial = None

    def _note(self, entry: Entry) -> None:
        self.defines = self.defines or entry.defines
        self.written |= entry.tables
        if entry.read is None:
            self._trial = None

    def has_foreign_ids(self, table: str) -> bool:
        """Whether the block inserted rows into a table with ids that were not reserved."""
        return any(entry.foreign_ids and table.lower() in entry.tables for entry in self.entries)

    def writes(self) -> bool:
        """Whether there is something to commit besides guards of reads."""
        return any(entry.read is None for entry in self.entries)

    def touches(self, sql: str) -> bool:
        """Whether a query may read what the block wrote."""
        return _touches(sql, self.written)

    # ── Savepoints: a length of the log ──────────────────────────────────────────────────────────────────

    def save(self, name: str) -> None:
        """Begin a savepoint."""
        self.savepoints.append((name, len(self.entries)))

    def release(self, name: str) -> None:
        """Forget a savepoint and those within it. Raises `KeyError` when there is none of this name."""
        del self.savepoints[self._position(name) :]

    def cut(self, name: str) -> None:
        """Drop what was done since a savepoint, which stays. Raises `KeyError` when there is none of this name.

        What was read meanwhile may have decided what follows: its guards stay, unless it read what is dropped. What was
        read before that was written is no part of it.
        """
        position = self._position(name)
        length = self.savepoints[position][1]
        del self.savepoints[position + 1 :]
        kept: list[Entry] = []
        gone: set[str] = set()
        for entry in self.entries[length:]:
            if entry.defines:
                break
            if entry.read is None:
                gone |= entry.tables
            elif not _touches(entry.read, gone):
                kept.append(entry)
        self.entries[length:] = kept
        self.written, self.defines, self._trial = set(), False, None
        for entry in self.entries:
            self._note(entry)

    def _position(self, name: str) -> int:
        for position in range(len(self.savepoints) - 1, -1, -1):
            if self.savepoints[position][0] == name:
                return position
        raise KeyError(name)

    # ── Batches ──────────────────────────────────────────────────────────────────────────────────────────

    def trial(self) -> list[Statement]:
        """Return what a trial runs first: all but the guards of reads, which cost as much as the reads."""
        if self._trial is None:
            self._trial = joined(
                [one for entry in self.entries if entry.read is None for one in entry.statements]
            )
        return self._trial

    def all(self) -> list[Statement]:
        """Return all of the block."""
        return joined([statement for entry in self.entries for statement in entry.statements])

    def lock_rows(self) -> list[Statement]:
        """Return what tells the others that these rows were locked, for the end of the COMMIT."""
        keys = sorted({(table, literal(key)) for entry in self.entries for table, key in entry.locks})
        now = int(time.time())
        return [
            Statement(
                "INSERT INTO _d1_lock(name, key, version, at) VALUES "
                + ",".join(f"({quoted(table)},{key},{self.commit_id},{now})" for table, key in part)
                + " ON CONFLICT(name, key) DO UPDATE SET version=excluded.version, at=excluded.at"
            )
            for part in (keys[at : at + 500] for at in range(0, len(keys), 500))
        ]

    def commit_row(self) -> Statement:
        """Return the INSERT by which a COMMIT is known."""
        return Statement(f"INSERT INTO _d1_commit(id, at) VALUES ({self.commit_id}, {int(time.time())})")


def joined(statements: list[Statement]) -> list[Statement]:
    """Join statements with `;` into as few elements as D1's limits allow: each costs it 50 to 100 µs.

    Only the last of an element may have bindings, and a CREATE (it may be a trigger) stands alone.
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
        if size + length > JOINED:
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
