"""The scratch tables of a self-test, and helpers to query them."""

import json
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError

from ..base import DatabaseWrapper
from ..dbapi import Connection
from ..errors import sqlite_message
from ..guards import SETUP
from ..transport import ROWS_MARK, AccessDenied, D1Error, NoAnswer, Result, Transport
from ..values import Statement

PREFIX = "_d1_selftest_"
ROW, PARENT, NOTE = f"{PREFIX}row", f"{PREFIX}parent", f"{PREFIX}note"
PROBE, GUARD, COMMIT = f"{PREFIX}probe", f"{PREFIX}guard", f"{PREFIX}commit"
MAX_SHOWN = 160  # characters of a finding

Ask = str | Statement


class DoesNotHold(Exception):
    """An assumption does not hold; the text is what was found."""


class Unreachable(Exception):
    """The database does not answer; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the backend takes for granted."""

    name: str
    otherwise: str  # the consequence when it does not hold
    test: Callable[["Scratch"], str]  # returns what it found; raises `DoesNotHold`


Test = Callable[["Scratch"], str]


def registering_in(assumptions: list[Assumption]) -> Callable[[str, str], Callable[[Test], Test]]:
    """Return the decorator that appends a test to a list: its name, and the consequence when it fails."""

    def assumption(name: str, otherwise: str) -> Callable[[Test], Test]:
        def add(test: Test) -> Test:
            assumptions.append(Assumption(name, otherwise, test))
            return test

        return add

    return assumption


def scratch(statement: Statement) -> Statement:
    """Return a statement on the backend's own tables as one on scratch tables."""
    return Statement(statement.sql.replace("_d1_", PREFIX), statement.bound)


def scratch_guard(guard: Statement) -> Statement:
    """Return a guard on scratch tables that inserts into the scratch guard table."""
    return Statement(guard.sql.replace("_d1_guard", GUARD, 1), guard.bound)


# the backend's own tables under other names, and three like those of a project
TABLES = [
    *(scratch(statement) for statement in SETUP),
    Statement(f"CREATE TABLE {PARENT} (id INTEGER PRIMARY KEY AUTOINCREMENT)"),
    # `value` has no type, so it keeps the type of what is stored
    Statement(
        f"CREATE TABLE {ROW} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, "
        f"n INTEGER NOT NULL DEFAULT 0 CHECK (n >= 0), value, parent INTEGER REFERENCES {PARENT}(id))"
    ),
    Statement(f"CREATE TABLE {NOTE} (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT)"),
    Statement(
        f"CREATE TRIGGER {PREFIX}notes AFTER UPDATE OF n ON {ROW} BEGIN\n"
        f"  INSERT INTO {NOTE}(text) VALUES ('before');\n"
        f"  INSERT INTO {NOTE}(text) VALUES ('after');\n"
        "END"
    ),
    Statement(
        f"CREATE TRIGGER {PREFIX}greets AFTER INSERT ON {ROW} BEGIN\n"
        f"  INSERT INTO {NOTE}(id, text) VALUES (-NEW.id, 'new');\n"
        "END"
    ),
]


@dataclass(slots=True)
class Scratch:
    """A database with the scratch tables in it."""

    django: DatabaseWrapper
    figures: dict[str, int] = field(default_factory=dict)  # measured, in addition to the findings

    @property
    def dbapi(self) -> Connection:
        """The backend's connection."""
        self.django.ensure_connection()
        connection: Connection = self.django.connection
        return connection

    @property
    def transport(self) -> Transport:
        """The way to the database."""
        return self.dbapi.transport

    # ── Tables ───────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self) -> None:
        """Create the scratch tables, after dropping those of an interrupted run. Raises `Unreachable`."""
        try:
            self.remove()
            self.transport.batch(TABLES, repeatable=False)
        except (AccessDenied, NoAnswer) as error:
            raise Unreachable(str(error)) from None
        except (D1Error, DatabaseError, sqlite3.Error) as error:
            raise Unreachable(f"The scratch tables cannot be created: {message_of(error)}") from None

    def remove(self) -> None:
        """Drop all tables and views with the name of a scratch table."""
        names = f"substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
        ask = Statement(f"SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND {names}")
        tables = self.transport.raw(ask, repeatable=True).rows
        drops = [
            Statement(f'DROP {kind} IF EXISTS "{name}"')
            for kind, name in sorted(tables, key=lambda row: str(row[0]), reverse=True)
        ]
        if drops:
            self.dbapi.run_batch(drops)

    def clear(self) -> None:
        """Empty the scratch tables."""
        self.run(*(f"DELETE FROM {table}" for table in (ROW, PARENT, NOTE, COMMIT)))

    # ── Queries ──────────────────────────────────────────────────────────────────────────────────────────

    def results(self, *asks: Ask) -> list[Result]:
        """Run a batch and return its results."""
        statements = [ask if isinstance(ask, Statement) else Statement(ask) for ask in asks]
        return self.transport.batch(statements, repeatable=False)

    def run(self, *asks: Ask) -> list[list[list[Any]]]:
        """Run a batch and return the rows of each statement."""
        return [result.rows for result in self.results(*asks)]

    def value(self, sql: str) -> Any:
        """Return the only cell of a query."""
        return self.run(sql)[0][0][0]

    def refused(self, *asks: Ask) -> str:
        """Run a batch that D1 must refuse, and return the error text. Raises `DoesNotHold`."""
        try:
            self.run(*asks)
        except D1Error as error:
            return str(error)
        raise DoesNotHold("a batch that must fail was applied")

    def probe(self, select: str, *before: Ask) -> str:
        """Dry-run statements, and return the JSON that a SELECT gives after them. Raises `DoesNotHold`."""
        mark = ROWS_MARK + secrets.token_hex(8)
        text = self.refused(*before, f"INSERT INTO {PROBE}(payload) SELECT '{mark}'||({select})")
        at = text.find(mark)
        if at < 0:
            raise DoesNotHold(
                f"the error does not carry the rows, its text is {shortened(sqlite_message(text))}"
            )
        at += len(mark)
        try:
            _value, end = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            raise DoesNotHold(
                f"the error's text is incomplete or was changed: {len(text) - at:,} characters came"
            ) from None
        return text[at:end]


def same(found: Any, wanted: Any, what: str) -> None:
    """Raise `DoesNotHold` unless two values are equal and of the same type; `what` names them."""
    if found != wanted or repr(found) != repr(wanted):
        raise DoesNotHold(f"{what}: {shortened(repr(found))} instead of {shortened(repr(wanted))}")


def shortened(text: str) -> str:
    """Return a text as one line of output, at most `MAX_SHOWN` characters of it."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}… ({len(line):,} characters)"


def message_of(error: Exception) -> str:
    """Return the message of an error for one line of output."""
    return shortened(sqlite_message(str(error)))


def insert(*names: str) -> str:
    """Return an INSERT of rows with these names, which are unique."""
    listed = ",".join(f"('{name}')" for name in names)
    return f"INSERT INTO {ROW}(name) VALUES {listed}"


def names(db: Scratch) -> list[Any]:
    """Return the names of all rows, in the order of their insertion."""
    return [row[0] for row in db.run(f"SELECT name FROM {ROW} ORDER BY id")[0]]
