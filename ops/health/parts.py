"""The parts of the shop that are asked for their health, each within a limit of time.

A part is asked in a thread of its own, because a database or a storage that hangs gives no error. While a
thread waits for a part no second one is started: the part is not well, and nothing piles up.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, storages
from django.db import Error, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

logger = logging.getLogger(__name__)

PATIENCE = 1.5  # seconds that a request waits for all parts together
PROBE_SECONDS = 30.0  # how long the result of a write is kept
STARTED_AT = timezone.now()  # of this process, which imports this module at its start
LOCK_SECONDS = 0.2  # for SQLite's lock; whoever holds it longer proves that it can be written

T = TypeVar("T")

WRITE_SQL = """
INSERT INTO ops_heartbeat (name, beat_at, started_at) VALUES ('web', %s, %s)
ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at, started_at = excluded.started_at
"""


class Hangs(Exception):
    """A part has not answered in time."""


class _Run(Generic[T]):
    """One time that a part is asked."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.answer: list[T] = []  # empty if the question failed


class Part(Generic[T]):
    """A question to a part of the shop, whose answer is kept for `seconds`."""

    def __init__(
        self,
        name: str,
        ask: Callable[[], T],
        *,
        seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.ask = ask
        self.seconds = seconds
        self.clock = clock
        self.forget()

    def forget(self) -> None:
        """Forget the last answer."""
        self._lock = threading.Lock()
        self._run: _Run[T] = _Run()
        self._run.ended.set()
        self._answered_at = 0.0

    def begin(self) -> None:
        """Ask the part, unless a thread waits for it or its answer is fresh."""
        with self._lock:
            is_fresh = bool(self._run.answer) and self.clock() - self._answered_at < self.seconds
            if is_fresh or not self._run.ended.is_set():
                return
            self._run = _Run()
            name = f"health-{self.name}"
            threading.Thread(target=self._ask, args=(self._run,), name=name, daemon=True).start()

    def answer(self, *, until: float) -> T:
        """Return the answer, waiting until a monotonic time.

        Raises `Hangs`, or `RuntimeError` if the question failed.
        """
        run = self._run  # another thread may begin the next one meanwhile
        if not run.ended.wait(max(until - time.monotonic(), 0.0)):
            raise Hangs(self.name)
        if not run.answer:
            raise RuntimeError(self.name)
        return run.answer[0]

    def _ask(self, run: _Run[T]) -> None:
        try:
            answer = self.ask()
            run.answer, self._answered_at = [answer], self.clock()
        except Exception:  # a part may fail in many ways; each means that it does not work
            logger.exception("%s cannot be asked for its health", self.name)
        finally:
            connections.close_all()  # of this thread
            run.ended.set()


def works(part: Part[bool], *, until: float) -> bool:
    """Return whether a part says in time that it works."""
    try:
        return part.answer(until=until)
    except (Hangs, RuntimeError):
        return False


def check_evidence_storage() -> bool:
    """Return whether the evidence storage works.

    On a disk a file is written, read and deleted; on R2, whose locks forbid deletion, a name is looked up.
    """
    storage = storages["evidence"]
    name = f"health/{os.getpid()}-{threading.get_ident()}"
    try:
        if not isinstance(storage, FileSystemStorage):
            storage.exists("health")  # 404 is an answer; any other failure raises
            return True
        written = storage.save(name, ContentFile(b"ok"))
        try:
            with storage.open(written) as file:
                return bool(file.read() == b"ok")
        finally:
            storage.delete(written)
    except Exception:  # storage libraries raise many types; each means that the storage does not work
        logger.exception("the evidence storage did not answer")
        return False


def check_database() -> bool:
    """Return whether the database answers the smallest query."""
    return ask_database() is not None


def ask_database() -> float | None:
    """Return the milliseconds of the smallest query; None if the database does not answer."""
    try:
        connection.ensure_connection()
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        return round((time.monotonic() - began) * 1_000, 2)
    except Error:
        logger.exception("the database did not answer")
        return None


def check_database_writes() -> bool:
    """Return whether the database can store: this process writes a sign of life.

    SQLite is written by a connection of its own, which does not wait for other writers.
    """
    with _impatient_connection() as writer:
        try:
            times = [writer.ops.adapt_datetimefield_value(at) for at in (timezone.now(), STARTED_AT)]
            with writer.cursor() as cursor:
                cursor.execute(WRITE_SQL, times)
            return True
        except Error as error:
            if "locked" in str(error):
                return True
            logger.exception("the database could not be written")
            return False


@contextmanager
def _impatient_connection() -> Iterator[BaseDatabaseWrapper]:
    if connection.settings_dict["ENGINE"] != "kikaku.sqlite":
        yield connection
        return
    writer: Any = connection.copy()
    writer.settings_dict["OPTIONS"] = {**writer.settings_dict["OPTIONS"], "timeout": LOCK_SECONDS}
    try:
        writer.ensure_connection()
        writer.queue = None
        yield writer
    finally:
        writer.close()
