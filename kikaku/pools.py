"""Pools of threads: each kind of request has threads of its own, so that a kind that waits delays no other.

A request is answered in the order in which it came. One that no thread has begun within `STALE_SECONDS` is
refused: its client has probably given up, and answering it would delay those behind it.
"""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)

STALE_SECONDS = 15.0  # in a queue; then a request is not begun any more


class Job(Protocol):
    """A request in a pool; both methods send a response and never raise."""

    since: float  # when it came, by the pool's clock

    def run(self) -> None:
        """Answer it, in a thread of the pool."""

    def refuse(self) -> None:
        """Answer that it has waited too long, in the thread of the event loop."""


class Pool:
    """Threads that answer the requests of one kind."""

    def __init__(self, name: str, threads: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.clock = clock
        self._waiting: deque[Job] = deque()
        # one item for each job that was put, so there are never fewer items than waiting jobs
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._running: list[Job | None] = [None] * threads  # by the number of the thread

    def start(self) -> None:
        """Start the threads. They end with the process."""
        for number in range(len(self._running)):
            threading.Thread(
                target=self._work, args=(number,), name=f"{self.name}-{number}", daemon=True
            ).start()

    def put(self, job: Job) -> None:
        """Add a request to the queue."""
        self._waiting.append(job)
        self._wake.put(None)

    def refuse_stale(self) -> None:
        """Refuse the requests that have waited too long."""
        refused = 0
        while self._waiting:
            try:
                job = self._waiting[0]
                if self.clock() - job.since < STALE_SECONDS:
                    break
                self._waiting.remove(job)
            except (IndexError, ValueError):  # a thread has begun it
                continue
            job.refuse()
            refused += 1
        if refused:
            logger.warning(
                "%s: %d requests refused, which waited %.0f seconds", self.name, refused, STALE_SECONDS
            )

    def oldest_seconds(self) -> float:
        """Return how long ago the oldest request came that is not answered yet; 0.0 if there is none."""
        unanswered = [job.since for job in (*self._running, *self._waiting.copy()) if job is not None]
        return max(0.0, self.clock() - min(unanswered)) if unanswered else 0.0

    def _work(self, number: int) -> None:
        """Answer requests for ever."""
        while True:
            self._wake.get()
            try:
                job = self._running[number] = self._waiting.popleft()
            except IndexError:  # it was refused
                continue
            try:
                job.run()
            except BaseException:  # even SystemExit: a thread that ended would be missing
                logger.exception("%s: a request failed outside the application", self.name)
            self._running[number] = None
            del job  # frees what the request holds
