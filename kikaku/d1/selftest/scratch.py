"""The scratch tables of a self-test, and the ways to ask the database about them."""

import json
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError

from ..base import DatabaseWrapper
from ..dbapi import Connection
from ..errors import clean
from ..transaction import SETUP
from ..transport import MARK, Denied, Refused, Result, Silence, Transport
from ..values import Statement

PREFIX = "_d1_selftest_"
ROW, PARENT, NOTE = f"{PREFIX}row", f"{PREFIX}parent", f"{PREFIX}note"
PEEK, GUARD, COMMIT = f"{PREFIX}peek", f"{PREFIX}guard", f"{PREFIX}commit"
SHOWN = 160  # characters of what was seen

Ask = str | Statement


class DoesNotHold(Exception):
    """Something is not as the backend takes it for; the text says what was seen."""


class Unreachable(Exception):
    """The database can not be asked at all; the text says why."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that the backend takes for granted."""

    name: str
    otherwise: str  # what it means for its users when it does not hold
    test: Callable[["Scratch"], str]  # returns what was seen; raises `DoesNotHold`


Test = Callable[["Scratch"], str]


def adding_to(assumptions: list[Assumption]) -> Callable[[str, str], Callable[[Test], Test]]:
    """Return the decorator that adds a test to a list: what must hold, and what it means when it does not."""

    def assumes(name: str, otherwise: str) -> Callable[[Test], Test]:
        def add(test: Test) -> Test:
            assumptions.append(Assumption(name, otherwise, test))
            return test

        return add

    return assumes


def scratch(statement: Statement) -> Statement:
    """Turn a statement on the backend's own tables into the same on scratch tables."""
    return Statement(statement.sql.replace("_d1_", PREFIX), statement.bound)


def scratch_guard(guard: Statement) -> Statement:
    """Let a guard on scratch tables write into the scratch guard."""
    return Statement(guard.sql.replace("_d1_guard", GUARD, 1), guard.bound)


# The backend's own tables under other names, and three as a project may have them.
TABLES = [
    *(scratch(statement) for statement in SETUP),
    Statement(f"CREATE TABLE {PARENT} (id INTEGER PRIMARY KEY AUTOINCREMENT)"),
    # `value` takes what it is given as it is
    Statement(
        f"CREATE TABLE {ROW} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, "
        f"n INTEGER NOT NULL DEFAULT 0 CHECK (n >= 0), value, parent INTEGER REFERENCES {PARENT}(id))"
    ),
    Statement(f"CREATE TABLE {NOTE} (id INTEGER PRIMARY KEY AUTOINCREMENT, said TEXT)"),
    Statement(
        f"CREATE TRIGGER {PREFIX}notes AFTER UPDATE OF n ON {ROW} BEGIN\n"
        f"  INSERT INTO {NOTE}(said) VALUES ('before');\n"
        f"  INSERT INTO {NOTE}(said) VALUES ('after');\n"
        "END"
    ),
    Statement(
        f"CREATE TRIGGER {PREFIX}greets AFTER INSERT ON {ROW} BEGIN\n"
        f"  INSERT INTO {NOTE}(id, said) VALUES (-NEW.id, 'new');\n"
        "END"
    ),
]


@dataclass(slots=True)
class Scratch:
    """A database with the scratch tables in it."""

    django: DatabaseWrapper
    figures: dict[str, int] = field(default_factory=dict)  # what was measured, beside the findings

    @property
    def dbapi(self) -> Connection:
        """The backend's connection."""
        self.django.ensure_connection()
        found: Connection = self.django.connection
        return found

    @property
    def transport(self) -> Transport:
        """The way to the database."""
        return self.dbapi.transport

    # ── Tables ───────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self) -> None:
        """Make the scratch tables; those of an interrupted run go first. Raises `Unreachable`."""
        try:
            self.remove()
            self.transport.batch(TABLES, repeatable=False)
        except (Denied, Silence) as error:
            raise Unreachable(str(error)) from None
        except (Refused, DatabaseError, sqlite3.Error) as error:
            raise Unreachable(f"The scratch tables can not be made: {said(error)}") from None

    def remove(self) -> None:
        """Drop whatever bears a scratch table's name."""
        names = f"substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
        ask = Statement(f"SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view') AND {names}")
        there = self.transport.table(ask, repeatable=True).rows
        drops = [
            Statement(f'DROP {kind} IF EXISTS "{name}"')
            for kind, name in sorted(there, key=lambda row: str(row[0]), reverse=True)
        ]
        if drops:
            self.dbapi.apply(drops)

    def clear(self) -> None:
        """Empty the scratch tables."""
        self.run(*(f"DELETE FROM {table}" for table in (ROW, PARENT, NOTE, COMMIT)))

    # ── Asking ───────────────────────────────────────────────────────────────────────────────────────────

    def results(self, *asks: Ask) -> list[Result]:
        """Run a batch."""
        statements = [ask if isinstance(ask, Statement) else Statement(ask) for ask in asks]
        return self.transport.batch(statements, repeatable=False)

    def run(self, *asks: Ask) -> list[list[list[Any]]]:
        """Run a batch and return the rows of each statement."""
        return [result.rows for result in self.results(*asks)]

    def value(self, sql: str) -> Any:
        """Return the one cell that a query gives."""
        return self.run(sql)[0][0][0]

    def refused(self, *asks: Ask) -> str:
        """Run a batch that D1 must refuse, and return its words. Raises `DoesNotHold`."""
        try:
            self.run(*asks)
        except Refused as refusal:
            return str(refusal)
        raise DoesNotHold("a batch that must fail was applied")

    def peek(self, select: str, *before: Ask) -> str:
        """Run statements for nothing, and return the JSON that a SELECT gives after them. Raises `DoesNotHold`."""
        mark = MARK + secrets.token_hex(8)
        text = self.refused(*before, f"INSERT INTO {PEEK}(payload) SELECT '{mark}'||({select})")
        at = text.find(mark)
        if at < 0:
            raise DoesNotHold(f"the error does not carry the rows, it says {shortened(clean(text))}")
        at += len(mark)
        try:
            _value, end = json.JSONDecoder().raw_decode(text, at)
        except ValueError:
            raise DoesNotHold(
                f"the error's text broke off or was changed: {len(text) - at:,} characters came"
            ) from None
        return text[at:end]


def same(found: Any, wanted: Any, what: str) -> None:
    """Raise `DoesNotHold` unless something is as it must be, of the same type."""
    if found != wanted or repr(found) != repr(wanted):
        raise DoesNotHold(f"{what}: {shortened(repr(found))} instead of {shortened(repr(wanted))}")


def shortened(text: str) -> str:
    """Return a text for one line of output."""
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}… ({len(line):,} characters)"


def said(error: Exception) -> str:
    """Return what D1 said, for one line of output."""
    return shortened(clean(str(error)))


def insert(*names: str) -> str:
    """Return an INSERT of rows with these names, which are unique."""
    listed = ",".join(f"('{name}')" for name in names)
    return f"INSERT INTO {ROW}(name) VALUES {listed}"


def names(db: Scratch) -> list[Any]:
    """Return the names that are there, in the order in which they came."""
    return [row[0] for row in db.run(f"SELECT name FROM {ROW} ORDER BY id")[0]]
