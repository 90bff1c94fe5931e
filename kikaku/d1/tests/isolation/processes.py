"""Crowds of processes whose random choices can be repeated."""

import os
import random
from collections.abc import Callable

from kikaku.d1.testing import processes
from kikaku.d1.testing.processes import Result, Together

SCALE = int(os.environ.get("KIKAKU_ISOLATION", "1"))  # so many times the usual work


def choices(process: int) -> random.Random:
    """Return the random choices of a process; print the seed of the run, which pytest shows when a test fails."""
    seed = os.environ.setdefault("KIKAKU_ISOLATION_SEED", str(random.SystemRandom().randrange(10**6)))
    print(f"KIKAKU_ISOLATION_SEED={seed}, process {process}")
    return random.Random(f"{seed} {process}")


def crowd(size: int, job: Callable[[int, Together], Result]) -> list[Result]:
    """Run the same job in `size` processes, each with its number, and return their results in that order."""
    choices(-1)  # draw the seed before the fork: all processes share it
    return processes.crowd(size, job, seconds=processes.TIMEOUT_SECONDS * SCALE)
