"""The ways to D1: our gateway (`d1://`), or Cloudflare's REST interface for administration (`d1-rest://`).

Both take a list of statements that D1 runs as one atomic unit. What comes back is told apart strictly: the rows, a
refusal (`Refused`: D1 answered, nothing was applied; `Denied`: it was not even asked), or silence (`Silence`: nobody knows).
"""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import urllib3

from .values import Statement

TRIES = 3  # of what may be repeated
WAITS = (0.05, 2.0)  # seconds before the second and before the last try, at most
# D1's own words for "ask again" (Cloudflare's list of errors to retry): whether the work was done is not known
TRANSIENT = (
    "Network connection lost",
    "storage caused object to be reset",
    "reset because its code was updated",
    "Cannot resolve D1 DB due to transient issue",
    "D1 DB is overloaded",
    "Too many requests queued",
    "internal error; reference",
)

T = TypeVar("T")

# Before it stands what D1 says, behind it the rows that a trial carries: nothing is read out of those
MARK = "_d1_rows:"


class Denied(Exception):
    """The gateway or Cloudflare does not let us in, or knows no such database. The text says what to do."""


class Refused(Exception):
    """D1 refused the statements with this text, which may hold customers' rows: it goes into no log."""


class Silence(Exception):
    """No answer that can be understood. `sent` tells whether the request may have reached D1."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Result(NamedTuple):
    """What one statement of a batch gave."""

    rows: list[list[Any]]
    read: int  # rows that D1 bills as read
    written: int


class Table(NamedTuple):
    """What a single statement gave, with the names of its columns."""

    columns: list[str]
    rows: list[list[Any]]


class Transport(Protocol):
    """One way to one database, for one thread at a time."""

    round_trips: int  # so far

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Run statements as one atomic unit; what is `repeatable` is tried again after a silence."""
        ...

    def table(self, statement: Statement, *, repeatable: bool) -> Table:
        """Run one statement, and give the names of its columns besides."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and how to reach it; what the process shares a connection pool by."""

    scheme: str  # http or https
    host: str
    port: int | None
    pool_size: int = 8  # connections at once; more threads wait their turn
    connect_timeout: float = 5.0  # seconds
    read_timeout: float = 35.0  # seconds; D1 ends a query after 30


_pools: dict[tuple[int, Address], urllib3.HTTPConnectionPool] = {}
_pools_lock = threading.Lock()


def pool(address: Address) -> urllib3.HTTPConnectionPool:
    """Return the process's connections to an address; a forked child makes its own."""
    key = (os.getpid(), address)
    with _pools_lock:
        if key not in _pools:
            kind = urllib3.HTTPSConnectionPool if address.scheme == "https" else urllib3.HTTPConnectionPool
            _pools[key] = kind(
                address.host,
                address.port,
                maxsize=address.pool_size,
                block=True,
                timeout=urllib3.Timeout(connect=address.connect_timeout, read=address.read_timeout),
                retries=False,
            )
        return _pools[key]


def _forget_locks() -> None:
    """Give a forked child a lock that no thread of its parent holds."""
    global _pools_lock
    _pools_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_locks)


def list_of(kind: type[T], found: Any) -> list[T]:
    """Return a list as it is. Raises `TypeError` when it is none, or holds something else."""
    if type(found) is not list or not all(type(one) is kind for one in found):
        raise TypeError
    return found


def rows_of(found: Any) -> list[list[Any]]:
    """Return the rows of an answer. Raises `TypeError` when they are none."""
    return list_of(list, found["rows"])


def complete(results: list[Result], statements: Sequence[Statement]) -> list[Result]:
    """Return one result for each statement. Raises `IndexError` when some are missing or too many."""
    if len(results) != len(statements):
        raise IndexError
    return results


class _Http:
    """What both ways share: one POST, and what its failure means."""

    def __init__(self, address: Address, path: str, secret: str) -> None:
        self.address = address
        self.path = path
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self.round_trips = 0  # of this connection so far

    def post(self, body: Any, *, repeatable: bool, read: Callable[[Any], T], path: str = "") -> T:
        """Send a body and return what `read` makes of the answer; what it can not make out is no answer.

        Raises:
            Refused, Denied, Silence
        """
        encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        for attempt in range(1, TRIES + 1):
            try:
                return self._post_once(encoded, path, read)
            except Silence as silence:
                if attempt == TRIES or not (repeatable or not silence.sent):
                    raise
                # full jitter, so that a crowd does not come back at once
                time.sleep(random.uniform(0, min(WAITS[1], WAITS[0] * 8**attempt)))  # noqa: S311
        raise AssertionError  # the last try returned or raised

    def _post_once(self, encoded: bytes, path: str, read: Callable[[Any], T]) -> T:
        self.round_trips += 1
        try:
            answer = pool(self.address).urlopen(
                "POST", self.path + path, body=encoded, headers=self.headers, redirect=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise Silence(f"D1 can not be reached at {self.address.host}: {error}", sent=False) from None
        except urllib3.exceptions.HTTPError as error:
            reason = f"The connection to D1 broke before its answer came ({type(error).__name__})"
            raise Silence(reason, sent=True) from None
        try:
            content = json.loads(answer.data)
        except (ValueError, RecursionError):
            raise Silence(f"D1's answer can not be read (status {answer.status})", sent=True) from None
        content = self._judge(answer.status, content)
        try:
            return read(content)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise Silence("D1's answer can not be understood", sent=True) from None

    def _judge(self, status: int, content: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _refuse(text: str) -> None:
        if any(words in text.partition(MARK)[0] for words in TRANSIENT):
            raise Silence(text.partition(MARK)[0], sent=True)
        raise Refused(text)


class Gateway(_Http):
    """Our Worker's protocol (`gateway.js`)."""

    def __init__(self, address: Address, database: str, secret: str) -> None:
        super().__init__(address, f"/v1/{database}", secret)
        self.database = database

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """See `Transport`."""

        def read(found: Any) -> list[Result]:
            results = [Result(rows_of(one), one["read"], one["written"]) for one in found["results"]]
            return complete(results, statements)

        body = {"batch": [statement.encoded() for statement in statements]}
        return self.post(body, repeatable=repeatable, read=read)

    def table(self, statement: Statement, *, repeatable: bool) -> Table:
        """See `Transport`."""

        def read(found: Any) -> Table:
            return Table(list_of(str, found["columns"]), rows_of(found))

        return self.post({"raw": statement.encoded()}, repeatable=repeatable, read=read)

    def _judge(self, status: int, content: Any) -> Any:
        if status == 200:
            return content
        said = content.get("error") if isinstance(content, dict) else None
        if not isinstance(said, str):  # it is not the gateway that speaks
            raise Silence(f"D1's answer can not be understood (status {status})", sent=True)
        if status == 422:
            self._refuse(said)
        if status in (401, 403):
            raise Denied("The D1 gateway refused D1_GATEWAY_SECRET: it must be the same on both sides.")
        if status == 404:
            raise Denied(
                f"The D1 gateway knows no database {self.database!r}: bind it under this name in the Worker, "
                "or correct the name in DATABASE_URL."
            )
        if status in (400, 413):
            raise Refused(f"The D1 gateway refused the request ({status}): {said}")
        raise Silence(f"The D1 gateway answered {status}", sent=True)


class Rest(_Http):
    """Cloudflare's REST interface: 1,200 requests in five minutes for a whole user, so for administration."""

    def __init__(self, address: Address, account: str, database: str, secret: str) -> None:
        super().__init__(address, f"/client/v4/accounts/{account}/d1/database/{database}", secret)

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """See `Transport`."""

        def read(found: Any) -> list[Result]:
            results = []
            for one in found:
                meta = one.get("meta") or {}
                results.append(
                    Result(rows_of(one["results"]), meta.get("rows_read", 0), meta.get("rows_written", 0))
                )
            return complete(results, statements)

        body = {"batch": [self._encoded(statement) for statement in statements]}
        return self.post(body, repeatable=repeatable, read=read, path="/raw")

    def table(self, statement: Statement, *, repeatable: bool) -> Table:
        """See `Transport`."""

        def read(found: Any) -> Table:
            results = found[0]["results"]
            return Table(list_of(str, results["columns"]), rows_of(results))

        return self.post(self._encoded(statement), repeatable=repeatable, read=read, path="/raw")

    @staticmethod
    def _encoded(statement: Statement) -> dict[str, Any]:
        if any(isinstance(value, bytes) for value in statement.bound):
            raise Refused("A blob over 10,000 bytes can not be sent through Cloudflare's REST interface")
        return {"sql": statement.sql, "params": list(statement.bound)}

    def _judge(self, status: int, content: Any) -> Any:
        if isinstance(content, dict) and content.get("success"):
            return content.get("result")
        errors = content.get("errors") if isinstance(content, dict) else None
        said = "; ".join(str(error.get("message", "")) for error in errors or [] if isinstance(error, dict))
        codes = {error.get("code") for error in errors or [] if isinstance(error, dict)}
        if 7500 in codes:  # any failure of SQL
            self._refuse(said)
        if status in (401, 403):
            raise Denied(f"Cloudflare refused CLOUDFLARE_API_TOKEN: {said or 'it may not edit D1'}.")
        if status == 404:
            raise Denied(f"Cloudflare knows no such account or database: {said}.")
        if status == 400:
            raise Refused(said)
        raise Silence(f"Cloudflare answered {status}: {said}", sent=status != 429)  # 429: turned away unread
