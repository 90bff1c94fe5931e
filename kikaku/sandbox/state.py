"""The stand-in's state: one SQLite file, shared by threads and processes, kept over restarts."""

import contextlib
import json
import os
import secrets
import sqlite3
import string
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LOCK_TIMEOUT_SECONDS = 30
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    body TEXT NOT NULL,
    private TEXT NOT NULL,
    net INTEGER,
    available_on INTEGER
);
CREATE INDEX objects_by_time ON objects (kind, created, seq);
CREATE INDEX objects_by_intent ON objects (kind, json_extract(body, '$.payment_intent'));
CREATE INDEX objects_by_charge ON objects (kind, json_extract(body, '$.charge'));
CREATE INDEX objects_by_source ON objects (kind, json_extract(body, '$.source'));
CREATE INDEX objects_by_type ON objects (kind, json_extract(body, '$.type'), created, seq);
CREATE INDEX objects_balance ON objects (available_on, net) WHERE kind = 'balance_transaction';
CREATE TABLE agenda (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    due REAL NOT NULL,
    task TEXT NOT NULL,
    object_id TEXT NOT NULL
);
CREATE INDEX agenda_due ON agenda (due, seq);
CREATE INDEX agenda_object ON agenda (object_id);
CREATE TABLE deliveries (
    event_id TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at REAL NOT NULL,
    first_at REAL,
    last_status INTEGER
);
CREATE INDEX deliveries_due ON deliveries (state, next_at, seq);
CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    route TEXT NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    request_id TEXT NOT NULL,
    stored_at REAL NOT NULL
);
CREATE INDEX idempotency_age ON idempotency (stored_at);
CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_ALPHABET = string.ascii_letters + string.digits
# Columns by which lists can be filtered; fixed here, so that no text of a request reaches the SQL.
FILTER_COLUMNS = {
    "payment_intent": "json_extract(body, '$.payment_intent')",
    "charge": "json_extract(body, '$.charge')",
    "source": "json_extract(body, '$.source')",
    "type": "json_extract(body, '$.type')",
    "status": "json_extract(body, '$.status')",
    "email": "json_extract(body, '$.customer_details.email')",
    "currency": "json_extract(body, '$.currency')",
}


class StateFileTooOld(Exception):
    """Raised when another version of the stand-in has written the file."""


@dataclass(frozen=True)
class Page:
    """One page of a list, newest first."""

    data: list[Json]
    has_more: bool


@dataclass(frozen=True)
class Condition:
    """One condition of a list: a column of `FILTER_COLUMNS` is one of the values, or `created` compares."""

    column: str
    values: Sequence[str | int]
    operator: str = "="  # for created: =, >, >=, <, <=


def random_text(length: int) -> str:
    """Return `length` unguessable letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_id(prefix: str) -> str:
    """Return a new id in Stripe's form, such as `pi_3…`."""
    if prefix == "cs_test":
        return "cs_test_a1" + random_text(56)
    family = "3" if prefix in {"pi", "ch", "py", "re", "pyr", "txn", "evt"} else "1"
    return f"{prefix}_{family}{random_text(23)}"


class Transaction:
    """The state at one instant for one caller; writes are committed when the `with` block succeeds."""

    def __init__(
        self,
        db: sqlite3.Connection,
        *,
        now: float,
        api_version: str,
        request_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.db = db
        # seconds since the epoch by the stand-in's clock; set back while due tasks run
        self.now = now
        self.api_version = api_version
        self.request_id = request_id
        self.idempotency_key = idempotency_key

    @property
    def second(self) -> int:
        """Return the instant in whole seconds, as in Stripe's `created`."""
        return int(self.now)

    def insert(
        self,
        kind: str,
        body: Json,
        *,
        private: Json | None = None,
        net: int | None = None,
        available_on: int | None = None,
    ) -> int:
        """Store a new object; return its sequence number among all objects."""
        cursor = self.db.execute(
            "INSERT INTO objects (id, kind, created, body, private, net, available_on)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                body["id"],
                kind,
                body["created"],
                json.dumps(body, ensure_ascii=False),
                json.dumps(private or {}, ensure_ascii=False),
                net,
                available_on,
            ),
        )
        return int(cursor.lastrowid or 0)

    def get(self, kind: str, object_id: str) -> Json | None:
        """Return an object by its id, or None."""
        row = self.db.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", (object_id, kind)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def load(self, kind: str, object_id: str) -> Json:
        """Return an object that must exist.

        Raises:
            LookupError: the object does not exist.
        """
        found = self.get(kind, object_id)
        if found is None:
            raise LookupError(f"{kind} {object_id} is not in the state file")
        return found

    def private(self, object_id: str) -> Json:
        """Return data of an object that Stripe does not show."""
        row = self.db.execute("SELECT private FROM objects WHERE id = ?", (object_id,)).fetchone()
        return {} if row is None else json.loads(row[0])

    def save(self, body: Json) -> None:
        """Replace a stored object."""
        self.db.execute(
            "UPDATE objects SET body = ? WHERE id = ?", (json.dumps(body, ensure_ascii=False), body["id"])
        )

    def page(
        self,
        kind: str,
        conditions: Sequence[Condition] = (),
        *,
        limit: int = 100,
        starting_after: str | None = None,
        ending_before: str | None = None,
    ) -> Page:
        """Return a page of objects, newest first; the cursors are ids of existing objects."""
        where, values = ["kind = ?"], [kind]
        arguments: list[str | int | float] = list(values)
        for condition in conditions:
            column = "created" if condition.column == "created" else FILTER_COLUMNS[condition.column]
            if condition.operator == "=":
                where.append(f"{column} IN ({', '.join('?' * len(condition.values))})")
            else:
                where.append(f"{column} {condition.operator} ?")
            arguments.extend(condition.values)
        newest_first = ending_before is None
        cursor = starting_after or ending_before
        if cursor is not None:
            comparison = "<" if newest_first else ">"
            start = "SELECT created, seq FROM objects WHERE id = ?"
            where.append(f"(created, seq) {comparison} ({start})")
            arguments.append(cursor)
        direction = "DESC" if newest_first else "ASC"
        rows = self.db.execute(
            # fixed names only, see FILTER_COLUMNS
            f"SELECT body FROM objects WHERE {' AND '.join(where)}"  # noqa: S608
            f" ORDER BY created {direction}, seq {direction} LIMIT ?",
            (*arguments, limit + 1),
        ).fetchall()
        data = [json.loads(row[0]) for row in rows[:limit]]
        return Page(data if newest_first else data[::-1], len(rows) > limit)

    def schedule(self, due: float, task: str, object_id: str) -> None:
        """Schedule `task` for an object at `due`."""
        self.db.execute(
            "INSERT INTO agenda (due, task, object_id) VALUES (?, ?, ?)",
            (due, task, object_id),
        )

    def unschedule(self, object_id: str) -> None:
        """Cancel the scheduled tasks of an object."""
        self.db.execute("DELETE FROM agenda WHERE object_id = ?", (object_id,))

    def secret(self, name: str) -> str:
        """Return a random text that is constant for this state file."""
        row = self.db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        return str(row[0])


# Connections inherited by a fork: closing one in the child would disturb the parent's.
_inherited: list[sqlite3.Connection] = []


class StateFile:
    """The SQLite file, with a connection per thread; writing transactions take the lock at their start."""

    def __init__(self, path: Path, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = path
        self._lock_timeout = lock_timeout
        self._local = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.connection(write=True) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in filter(str.strip, SCHEMA.split(";")):
                    db.execute(statement)
                for name in ("page", "account"):
                    db.execute("INSERT INTO secrets VALUES (?, ?)", (name, random_text(32)))
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise StateFileTooOld(f"{path} was written by another version; delete it and start again.")

    def _open(self) -> sqlite3.Connection:
        # A connection may neither change threads nor survive a fork.
        known: tuple[int, sqlite3.Connection] | None = getattr(self._local, "known", None)
        if known is not None and known[0] == os.getpid():
            return known[1]
        if known is not None:
            _inherited.append(known[1])
        db = sqlite3.connect(self.path, timeout=self._lock_timeout, isolation_level=None)
        _switch_to_wal(db)
        db.execute("PRAGMA synchronous = NORMAL")
        self._local.known = (os.getpid(), db)
        return db

    @contextlib.contextmanager
    def connection(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Run a block in one transaction, rolled back if it raises."""
        db = self._open()
        db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def close(self) -> None:
        """Close the connection of the calling thread; the next use opens another."""
        known: tuple[int, sqlite3.Connection] | None = getattr(self._local, "known", None)
        if known is not None and known[0] == os.getpid():
            known[1].close()
        self._local.known = None


def _switch_to_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; wait for the lock, which SQLite does not do here."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
