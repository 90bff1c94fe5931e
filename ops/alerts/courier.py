"""The courier: takes marked log records from any thread, stores them and delivers them in the background.

A log call only puts the record into a queue. One daemon thread of the process has a connection of its own,
so that a request's rollback takes nothing away. While the database does not work, or hangs, the courier keeps
the alerts in memory, sends them without rows, and stores them when the database is back.
"""

import atexit
import logging
import os
import queue
import threading
import time
from datetime import datetime
from multiprocessing import util

from django.db import DatabaseError, InterfaceError, connections
from django.utils import timezone

from kikaku.alerts import Alert as Mark
from ops.alerts import delivery, slack, store
from ops.alerts.slack import Outcome
from ops.alerts.store import Occurrences

logger = logging.getLogger(__name__)

MAX_QUEUED = 2_000
GATHER_SECONDS = 1.0  # what comes within it goes into one message
IDLE_SECONDS = 20.0  # between two looks for what waits
HANG_SECONDS = 45.0  # longer than two calls to Slack: a database that takes longer hangs
END_SECONDS = 5.0  # that the end of a process waits for the last alerts

Item = tuple[Mark, str, datetime]


class Attempt:
    """One try, in a thread of its own, to store alerts and to deliver what is due."""

    def __init__(self, batch: Occurrences, *, now: datetime) -> None:
        self.batch = batch
        self.now = now
        self.is_stored = not batch.found
        self.error: Exception | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._run, name="alerts-database", daemon=True).start()

    def _run(self) -> None:
        try:
            if not self.is_stored:
                store.store(self.batch.found.values(), now=self.now)
                self.is_stored = True
            delivery.deliver_due(now=self.now)
        except Exception as error:  # the courier decides
            self.error = error
        finally:
            connections.close_all()
            self.ended.set()


class Courier:
    """The queue and the thread of one process."""

    def __init__(self) -> None:
        self.is_on = True
        self._new()
        os.register_at_fork(after_in_child=self._new)  # a child has the queue, but not the thread
        atexit.register(self.end)
        # a child of the worker's cluster ends without `atexit`
        util.register_after_fork(self, lambda courier: util.Finalize(courier, courier.end, exitpriority=10))

    def _new(self) -> None:
        self._queue: queue.Queue[Item | None] = queue.Queue(MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._held = Occurrences()  # what is to be stored
        self._attempt: Attempt | None = None  # that has not ended
        self._quiet_until = 0.0  # monotonic seconds: Slack has said how long to wait

    def put(self, mark: Mark, text: str, *, now: datetime) -> None:
        """Take an alert; return at once. A full queue drops it: its log line remains."""
        if not self.is_on:
            return
        try:
            self._queue.put_nowait((mark, text, now))
        except queue.Full:
            return
        self.start()

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Store and send what is in the queue, for at most five seconds."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            try:
                self._queue.put_nowait(None)
            except queue.Full:
                return
            thread.join(END_SECONDS)

    def _run(self) -> None:
        over = False
        while not over:
            try:
                over = self._gather()
                self.work(now=timezone.now())
            except Exception:  # the thread must live; the alert is in the log
                logger.exception("alerts could not be delivered")

    def _gather(self) -> bool:
        """Wait for alerts and take all that come within a second; return whether the process ends."""
        wait = IDLE_SECONDS
        while True:
            try:
                item = self._queue.get(timeout=wait)
            except queue.Empty:
                return False
            if item is None:
                return True
            mark, text, now = item
            self._held.add(mark, text, now=now)
            wait = GATHER_SECONDS

    def work(self, *, now: datetime) -> None:
        """Store what was gathered, and deliver what is due; send it without rows if the database is away.

        While a database hangs, one thread waits for it, and no other is started.
        """
        if self._attempt is None:
            self._attempt, self._held = Attempt(self._held, now=now), Occurrences()
        attempt = self._attempt
        if not attempt.ended.wait(HANG_SECONDS):
            logger.warning("alerts are kept in memory, the database hangs")
            self._tell_directly(attempt.batch, self._held)
            return
        self._attempt = None
        if attempt.error is None:
            return
        if not isinstance(attempt.error, DatabaseError | InterfaceError):
            # these alerts cannot be stored: they must not keep others back, and their log lines remain
            logger.error("alerts could not be delivered", exc_info=attempt.error)
            return
        logger.warning("alerts are kept in memory, the database does not work: %s", attempt.error)
        if not attempt.is_stored:
            attempt.batch.merge(self._held)
            self._held = attempt.batch
        self._tell_directly(self._held)

    def _tell_directly(self, *held: Occurrences) -> None:
        """Send what is held and was not sent yet, without rows."""
        new = [each for some in held for each in some.found.values() if each.count and not each.sent]
        if not new or not store.is_delivered() or time.monotonic() < self._quiet_until:
            return
        delivery.wait_for_turn()
        answer = slack.post(slack.message([store.unsaved(each) for each in new]))
        if answer.wait is not None:
            self._quiet_until = time.monotonic() + answer.wait
        for each in new:
            # perhaps sent is taken for sent: the row that comes later says what Slack has got
            each.sent = answer.outcome in (Outcome.SENT, Outcome.UNKNOWN)


courier = Courier()


class AlertHandler(logging.Handler):
    """Handler of the root logger that gives marked records to the courier."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take the record's alert, if it has one; never raise."""
        mark = getattr(record, "alert", None)
        if isinstance(mark, Mark):
            courier.put(mark, record.getMessage(), now=timezone.now())


def install() -> None:
    """Let marked records reach the courier; safe to call again."""
    root = logging.getLogger()
    if not any(isinstance(handler, AlertHandler) for handler in root.handlers):
        root.addHandler(AlertHandler(logging.INFO))
