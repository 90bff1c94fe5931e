"""The ways to D1: the gateway (`d1://`), or Cloudflare's REST interface for administration (`d1-rest://`).

Both take a list of statements that D1 runs as one atomic unit. There are four outcomes: the rows; `D1Error`
(D1 refused the statements, nothing was applied); `AccessDenied` (the request did not get to D1); `NoAnswer`
(it may be applied).
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

MAX_TRIES = 3  # of a repeatable request
RETRY_WAITS = (0.05, 2.0)  # seconds: base and maximum of the random waits between tries
# Cloudflare's list of errors to retry: after these it is not known whether the statements were applied
TRANSIENT_ERRORS = (
    "Network connection lost",
    "storage caused object to be reset",
    "reset because its code was updated",
    "Cannot resolve D1 DB due to transient issue",
    "D1 DB is overloaded",
    "Too many requests queued",
    "internal error; reference",
)

T = TypeVar("T")

# D1's own message comes before it, the result of a dry run after it: no error is recognised in a result
ROWS_MARK = "_d1_rows:"


class AccessDenied(Exception):
    """The gateway or Cloudflare refused the secret, or knows no such database. The text says what to do."""


class D1Error(Exception):
    """D1 refused the statements with this text. It may contain customers' rows: do not log it."""


class AnswerTooLarge(D1Error):
    """The statements were run, and their rows are more than the gateway returns."""


class NoAnswer(Exception):
    """There was no valid answer. `sent` is whether the request may have reached D1."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Result(NamedTuple):
    """The result of one statement of a batch."""

    rows: list[list[Any]]
    read: int  # rows that D1 bills as read
    written: int


class RawResult(NamedTuple):
    """The result of a single statement, with the names of its columns."""

    columns: list[str]
    rows: list[list[Any]]


class Transport(Protocol):
    """A way to one database, for one thread at a time."""

    round_trips: int  # so far
    database_size: int  # bytes after the last batch; 0 where D1 has not said it

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """Run statements as one atomic unit; if `repeatable`, try again when there is no answer."""
        ...

    def raw(self, statement: Statement, *, repeatable: bool) -> RawResult:
        """Run one statement, and return the names of its columns as well."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and the limits of its connections; equal addresses share a connection pool."""

    scheme: str  # http or https
    host: str
    port: int | None
    pool_size: int = 8  # connections at a time; further threads wait
    connect_timeout: float = 5.0  # seconds
    read_timeout: float = 35.0  # seconds; D1 ends a query after 30


_pools: dict[tuple[int, Address], urllib3.HTTPConnectionPool] = {}
_pools_lock = threading.Lock()


def pool(address: Address) -> urllib3.HTTPConnectionPool:
    """Return the process's connection pool for an address; a forked child has its own."""
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


def _replace_lock() -> None:
    """Replace the lock in a forked child: a thread of the parent may hold the inherited one for ever."""
    global _pools_lock
    _pools_lock = threading.Lock()


os.register_at_fork(after_in_child=_replace_lock)


def checked_list(kind: type[T], found: Any) -> list[T]:
    """Return the list. Raises `TypeError` when it is no list, or has an element of another type."""
    if type(found) is not list or not all(type(one) is kind for one in found):
        raise TypeError
    return found


def rows_of(found: Any) -> list[list[Any]]:
    """Return the rows of an answer. Raises `TypeError` when they are not a list of lists."""
    return checked_list(list, found["rows"])


def checked_size(found: Any) -> int:
    """Return a size in bytes. Raises `TypeError` when it is no integer."""
    if type(found) is not int:
        raise TypeError
    return found


def checked_results(results: list[Result], statements: Sequence[Statement]) -> list[Result]:
    """Return the results. Raises `IndexError` unless there is one for each statement."""
    if len(results) != len(statements):
        raise IndexError
    return results


class _HttpTransport:
    """What both ways have in common: a POST, its retries, and the meaning of its failures."""

    def __init__(self, address: Address, path: str, secret: str) -> None:
        self.address = address
        self.path = path
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self.round_trips = 0  # of this connection so far
        self.database_size = 0

    def post(self, body: Any, *, repeatable: bool, read: Callable[[Any], T], path: str = "") -> T:
        """Send a body and return what `read` makes of the answer. One that it cannot read is `NoAnswer`.

        Raises:
            D1Error, AccessDenied, NoAnswer
        """
        encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        for attempt in range(1, MAX_TRIES + 1):
            try:
                return self._post_once(encoded, path, read)
            except AnswerTooLarge:
                if repeatable:  # nothing was written
                    raise
                raise NoAnswer("The rows that D1 returned are too many for one answer", sent=True) from None
            except NoAnswer as no_answer:
                if attempt == MAX_TRIES or not (repeatable or not no_answer.sent):
                    raise
                # full jitter, so that many clients do not retry at the same moment
                time.sleep(random.uniform(0, min(RETRY_WAITS[1], RETRY_WAITS[0] * 8**attempt)))  # noqa: S311
        raise AssertionError  # the last try returned or raised

    def _post_once(self, encoded: bytes, path: str, read: Callable[[Any], T]) -> T:
        self.round_trips += 1
        try:
            answer = pool(self.address).urlopen(
                "POST", self.path + path, body=encoded, headers=self.headers, redirect=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise NoAnswer(f"D1 cannot be reached at {self.address.host}: {error}", sent=False) from None
        except urllib3.exceptions.HTTPError as error:
            reason = f"The connection to D1 broke before its answer came ({type(error).__name__})"
            raise NoAnswer(reason, sent=True) from None
        try:
            content = json.loads(answer.data)
        except (ValueError, RecursionError):
            raise NoAnswer(f"D1's answer cannot be read (status {answer.status})", sent=True) from None
        content = self._unpack(answer.status, content)
        try:
            return read(content)
        except (KeyError, IndexError, TypeError, AttributeError):
            raise NoAnswer("D1's answer is not valid", sent=True) from None

    def _unpack(self, status: int, content: Any) -> Any:
        raise NotImplementedError

    @staticmethod
    def _raise_error(text: str) -> None:
        if any(words in text.partition(ROWS_MARK)[0] for words in TRANSIENT_ERRORS):
            raise NoAnswer(text.partition(ROWS_MARK)[0], sent=True)
        raise D1Error(text)


class Gateway(_HttpTransport):
    """The protocol of the Worker in front of D1 (`gateway.js`)."""

    def __init__(self, address: Address, database: str, secret: str) -> None:
        super().__init__(address, f"/v1/{database}", secret)
        self.database = database

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """See `Transport`."""

        def read(found: Any) -> list[Result]:
            results = [Result(rows_of(one), one["read"], one["written"]) for one in found["results"]]
            self.database_size = checked_size(found.get("size", 0))  # a Worker of an earlier version has none
            return checked_results(results, statements)

        body = {"batch": [statement.encoded() for statement in statements]}
        return self.post(body, repeatable=repeatable, read=read)

    def raw(self, statement: Statement, *, repeatable: bool) -> RawResult:
        """See `Transport`."""

        def read(found: Any) -> RawResult:
            return RawResult(checked_list(str, found["columns"]), rows_of(found))

        return self.post({"raw": statement.encoded()}, repeatable=repeatable, read=read)

    def _unpack(self, status: int, content: Any) -> Any:
        if status == 200:
            return content
        message = content.get("error") if isinstance(content, dict) else None
        if not isinstance(message, str):  # the answer does not come from the gateway
            raise NoAnswer(f"D1's answer is not valid (status {status})", sent=True)
        if status == 422:
            self._raise_error(message)
        if status in (401, 403):
            raise AccessDenied(
                "The D1 gateway refused D1_GATEWAY_SECRET: it must be the same on both sides. Does it end "
                "with a line break in the Worker?"
            )
        if status == 500 and message == "not configured":
            raise AccessDenied(
                "The D1 gateway has no D1_GATEWAY_SECRET, or one of less than 32 characters. Set it in the "
                "Worker: wrangler secret put D1_GATEWAY_SECRET"
            )
        if status == 404:
            raise AccessDenied(
                f"The D1 gateway knows no database {self.database!r}: bind it under this name in the Worker, "
                "or correct the name in DATABASE_URL."
            )
        if status in (400, 413):
            raise D1Error(f"The D1 gateway refused the request ({status}): {message}")
        if status == 507:
            raise AnswerTooLarge(message)
        raise NoAnswer(f"The D1 gateway answered {status}", sent=True)


class Rest(_HttpTransport):
    """Cloudflare's REST interface, for administration: 1,200 requests in five minutes for a whole user."""

    def __init__(self, address: Address, account: str, database: str, secret: str) -> None:
        super().__init__(address, f"/client/v4/accounts/{account}/d1/database/{database}", secret)

    def batch(self, statements: Sequence[Statement], *, repeatable: bool) -> list[Result]:
        """See `Transport`."""

        def read(found: Any) -> list[Result]:
            results = []
            for one in found:
                meta = one.get("meta") or {}
                self.database_size = checked_size(meta.get("size_after", 0))
                results.append(
                    Result(rows_of(one["results"]), meta.get("rows_read", 0), meta.get("rows_written", 0))
                )
            return checked_results(results, statements)

        body = {"batch": [self._encoded(statement) for statement in statements]}
        return self.post(body, repeatable=repeatable, read=read, path="/raw")

    def raw(self, statement: Statement, *, repeatable: bool) -> RawResult:
        """See `Transport`."""

        def read(found: Any) -> RawResult:
            results = found[0]["results"]
            return RawResult(checked_list(str, results["columns"]), rows_of(results))

        return self.post(self._encoded(statement), repeatable=repeatable, read=read, path="/raw")

    @staticmethod
    def _encoded(statement: Statement) -> dict[str, Any]:
        if any(isinstance(value, bytes) for value in statement.bound):
            raise D1Error("A blob over 10,000 bytes cannot be sent through Cloudflare's REST interface")
        return {"sql": statement.sql, "params": list(statement.bound)}

    def _unpack(self, status: int, content: Any) -> Any:
        if isinstance(content, dict) and content.get("success"):
            return content.get("result")
        errors = content.get("errors") if isinstance(content, dict) else None
        message = "; ".join(
            str(error.get("message", "")) for error in errors or [] if isinstance(error, dict)
        )
        codes = {error.get("code") for error in errors or [] if isinstance(error, dict)}
        if 7500 in codes:  # any failure of SQL
            self._raise_error(message)
        if status in (401, 403):
            raise AccessDenied(
                f"Cloudflare refused CLOUDFLARE_API_TOKEN: {message or 'it has no permission to edit D1'}."
            )
        if status == 404:
            raise AccessDenied(f"Cloudflare knows no such account or database: {message}.")
        if status == 400:
            raise D1Error(message)
        raise NoAnswer(f"Cloudflare answered {status}: {message}", sent=status != 429)  # 429: refused unread
