"""Jobs that run beside the queue, each in a process of its own.

The queue has one process, and a job that takes minutes would hold up mails, events and refunds.
"""

import multiprocessing
import signal
from multiprocessing.context import ForkProcess

from django.db import connections

from ops.jobs import schedule


class Apart:
    """The processes that one worker has started, at most one for a job."""

    def __init__(self) -> None:
        self.processes: dict[str, ForkProcess] = {}

    def start(self, name: str) -> None:
        """Start a job unless its last process is still running."""
        last = self.processes.get(name)
        if last is not None and last.is_alive():
            return
        connections.close_all()  # a child must not inherit an open connection
        process = multiprocessing.get_context("fork").Process(target=_run, args=(name,), name=name)
        process.start()
        self.processes[name] = process

    def stop(self) -> None:
        """Kill what still runs: the claim of its run expires, and the next try makes up for it."""
        for process in self.processes.values():
            process.kill()
            process.join()


def _run(name: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the worker's handler would only note it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    schedule.run(name)
