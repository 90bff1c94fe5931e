"""The courier: takes marked log records from any thread, stores them and delivers them in the background.

A log call only puts the record into a queue. One daemon thread of the process has a connection of its own,
so that a request's rollback takes nothing away. While the database does not work, the courier keeps the
alerts in memory, tells Slack without rows, and stores them when the database is back.
"""

import atexit
import logging
import os
import queue
import threading
from datetime import datetime

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
END_SECONDS = 5.0  # that the end of a process waits for the last alerts

Item = tuple[Mark, str, datetime]


class Courier:
    """The queue and the thread of one process."""

    def __init__(self) -> None:
        self.is_on = True
        self._new()
        os.register_at_fork(after_in_child=self._new)  # a child has the queue, but not the thread
        atexit.register(self.end)

    def _new(self) -> None:
        self._queue: queue.Queue[Item | None] = queue.Queue(MAX_QUEUED)
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._held = Occurrences()  # while the database does not work

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
            self._queue.put(None)
            thread.join(END_SECONDS)

    def _run(self) -> None:
        over = False
        while not over:
            try:
                over = self._gather()
                self.work(now=timezone.now())
            except Exception:  # the thread must live; the alert is in the log
                logger.exception("alerts could not be delivered")
            finally:
                connections.close_all()

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
        """Store what was gathered, and deliver what is due; tell Slack directly if the database is away."""
        try:
            if self._held.found:
                store.store(self._held.found.values(), now=now)
                self._held = Occurrences()
            delivery.deliver_due(now=now)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("alerts are kept in memory, the database does not work: %s", error)
            self._tell_directly(now=now)

    def _tell_directly(self, *, now: datetime) -> None:
        """Send what is held and was not sent yet, without rows."""
        new = [each for each in self._held.found.values() if each.count and not each.sent]
        if not new or not store.is_delivered():
            return
        delivery.wait_for_turn()
        answer = slack.post(slack.message([store.unsaved(each) for each in new]))
        for each in new:
            # perhaps sent is taken for sent: the row that comes later says what Slack was told
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
