"""Processes that share the test's database and Stripe stand-in."""

from collections.abc import Callable, Sequence

from django.db import connection

from kikaku.d1.testing import processes
from kikaku.d1.testing.processes import Result, WaitForAll
from kikaku.sandbox import adapter

__all__ = ["WaitForAll", "run_concurrently", "run_in_processes"]

LOCK_SECONDS = 30  # many processes that queue for one row take seconds on a busy machine


def run_in_processes(jobs: Sequence[Callable[[WaitForAll], Result]]) -> list[Result]:
    """Run each job in a process of its own, as `kikaku.d1.testing.processes.run_in_processes` does."""
    adapter.sandbox().close()  # its connection does not survive the fork
    return processes.run_in_processes([_patient(job) for job in jobs])


def run_concurrently(size: int, job: Callable[[int, WaitForAll], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and return their results in that order."""

    def numbered(number: int) -> Callable[[WaitForAll], Result]:
        return lambda wait_for_all: job(number, wait_for_all)

    return run_in_processes([numbered(number) for number in range(size)])


def _patient(job: Callable[[WaitForAll], Result]) -> Callable[[WaitForAll], Result]:
    """Return the job for a process that waits for PostgreSQL's locks as long as a busy machine needs."""

    def run(wait_for_all: WaitForAll) -> Result:
        if connection.vendor == "postgresql":
            connection.settings_dict["OPTIONS"]["options"] += f" -c lock_timeout={LOCK_SECONDS}s"
        return job(wait_for_all)

    return run
