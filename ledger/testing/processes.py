"""Processes that share the test's database and Stripe stand-in."""

from collections.abc import Callable, Sequence

from kikaku.d1.testing import processes
from kikaku.d1.testing.processes import Result, WaitForAll
from kikaku.sandbox import adapter

__all__ = ["WaitForAll", "run_concurrently", "run_in_processes"]


def run_in_processes(jobs: Sequence[Callable[[WaitForAll], Result]]) -> list[Result]:
    """Run each job in a process of its own, as `kikaku.d1.testing.processes.run_in_processes` does."""
    adapter.sandbox().close()  # its connection does not survive the fork
    return processes.run_in_processes(jobs)


def run_concurrently(size: int, job: Callable[[int, WaitForAll], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and return their results in that order."""
    adapter.sandbox().close()
    return processes.run_concurrently(size, job)
