"""An account with a ledger, whose transfers must be applied as a whole or not at all."""

import itertools
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from django.db import OperationalError

from ... import CommitUnknown, TransactionConflict
from ...dbapi import Connection
from ...engine import Engine
from ...statements import SQL
from ...transport import Address, Gateway
from .proxy import TIMEOUT, Proxy

DATABASE = "second"
_numbers = itertools.count(1)

# the requests of `transfer`, in order; savepoints send none
STEPS = (
    "the columns of the first read",
    "the first read",
    "the triggers and views of the first write",
    "an insert",
    "an update",
    "an insert that is rolled back",
    "the columns of the read of an own write",
    "the read of an own write",
    "a read for update",
    "the commit",
)
READ, INSERT, COMMIT = 2, 4, len(STEPS)


class Outcome(Enum):
    """What was reported to the caller."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    FAILED = "failed"
    UNKNOWN = "unknown"


class State(Enum):
    """What the database contains of a transfer."""

    ALL = "all"
    NOTHING = "nothing"


def outcome_of(act: Callable[[], object]) -> tuple[Outcome, str]:
    """Run an act and return (what was reported, the message). Only database errors are caught."""
    try:
        act()
    except CommitUnknown as error:
        return Outcome.UNKNOWN, str(error)
    except TransactionConflict as error:
        return Outcome.CONFLICT, str(error)
    except (sqlite3.OperationalError, OperationalError) as error:
        return Outcome.FAILED, str(error)
    return Outcome.APPLIED, ""


def connect(host: str, database: str, secret: str, **limits: float) -> Connection:
    """Return a new connection to a host:port."""
    name, _, port = host.partition(":")
    return Connection(Gateway(Address("http", name, int(port), **limits), database, secret))  # type: ignore[arg-type]


def make_tables(engine: Engine) -> None:
    """Create the tables, and the backend's own, so that the first block needs no other requests."""
    connection = connect(engine.address, DATABASE, engine.secret)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, yen INTEGER NOT NULL)")
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS ledger "
        "(id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL, text TEXT NOT NULL)"
    )
    connection.autocommit = False
    cursor.execute("DELETE FROM ledger WHERE account < 0")
    connection.commit()


@dataclass(slots=True)
class Bank:
    """One account of 100 yen, read over a reliable connection."""

    engine: Engine
    line: Proxy
    account: int = field(default_factory=lambda: next(_numbers))
    good: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.good = connect(self.engine.address, DATABASE, self.engine.secret)
        self.good.cursor().execute("INSERT INTO account(id, yen) VALUES (%s, 100)", [self.account])

    def customer(self, **limits: float) -> Connection:
        """Return a connection through the proxy."""
        host = f"127.0.0.1:{self.line.port}"
        limits = {"read_timeout": TIMEOUT, "connect_timeout": TIMEOUT, **limits}
        return connect(host, DATABASE, self.engine.secret, **limits)

    def lock(self) -> SQL:
        """Return the SELECT that locks the account until COMMIT."""
        sql = SQL(f"SELECT yen, id FROM account WHERE id = {self.account}")
        sql.columns, sql.locks = 2, (("account", 1),)
        return sql

    def transfer(
        self, connection: Connection, before: Callable[[int], None] = lambda _step: None, tag: str = ""
    ) -> None:
        """Take 10 yen in one block; its requests are `STEPS`. The first error ends the block."""
        connection.autocommit = False
        cursor = connection.cursor()
        try:
            before(1)
            yen = cursor.execute("SELECT yen FROM account WHERE id = %s", [self.account]).fetchall()[0][0]
            before(3)
            cursor.execute(
                "INSERT INTO ledger(account, text) VALUES (%s, %s)", [self.account, f"{tag}it's 10円 😀"]
            )
            before(5)
            cursor.execute("UPDATE account SET yen = %s WHERE id = %s", [yen - 10, self.account])
            assert cursor.rowcount == 1
            connection.savepoint("SAVEPOINT", "s1")
            before(6)
            cursor.execute("INSERT INTO ledger(account, text) VALUES (%s, 'not this')", [self.account])
            connection.savepoint("ROLLBACK", "s1")
            before(7)
            seen = cursor.execute("SELECT text FROM ledger WHERE account = %s", [self.account]).fetchall()
            assert seen[-1] == (f"{tag}it's 10円 😀",)
            before(9)
            assert cursor.execute(self.lock()).fetchall() == [(yen - 10, self.account)]
            before(10)
            connection.commit()
        finally:
            connection.rollback()
            connection.autocommit = True

    def rows(self) -> tuple[int, list[str]]:
        """Return (yen, texts of the ledger)."""
        cursor = self.good.cursor()
        yen = cursor.execute("SELECT yen FROM account WHERE id = %s", [self.account]).fetchall()[0][0]
        texts = cursor.execute(
            "SELECT text FROM ledger WHERE account = %s ORDER BY id", [self.account]
        ).fetchall()
        return yen, [text for (text,) in texts]

    def state(self, times: int = 1) -> State:
        """Return what the database has of the last of so many transfers; a part of it fails the test."""
        yen, texts = self.rows()
        for state, done in ((State.ALL, times), (State.NOTHING, times - 1)):
            if (yen, texts) == (100 - 10 * done, ["it's 10円 😀"] * done):
                return state
        raise AssertionError(f"neither all nor nothing: {yen} yen, {texts}")

    def check(self, outcome: Outcome, message: str) -> State:
        """Compare the reported outcome with the database, now and after the last delayed request."""
        immediately = self.state()
        self.line.settle()
        state = self.state()
        if outcome is Outcome.APPLIED:
            assert immediately is state is State.ALL
        elif outcome in (Outcome.CONFLICT, Outcome.FAILED):
            assert immediately is state is State.NOTHING, message
        return state
