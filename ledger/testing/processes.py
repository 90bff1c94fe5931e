"""Processes that share the test's database and Stripe stand-in."""

from collections.abc import Callable, Sequence

from kikaku.d1.testing import processes
from kikaku.d1.testing.processes import Result, Together
from kikaku.sandbox import adapter

__all__ = ["Together", "crowd", "in_processes"]


def in_processes(jobs: Sequence[Callable[[Together], Result]]) -> list[Result]:
    """Run each job in a process of its own, as `kikaku.d1.testing.processes.in_processes` does."""
    adapter.sandbox().close()  # its connection does not survive the fork
    return processes.in_processes(jobs)


def crowd(size: int, job: Callable[[int, Together], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and return their results in that order."""
    adapter.sandbox().close()
    return processes.crowd(size, job)
