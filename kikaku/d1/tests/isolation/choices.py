"""How much the isolation tests do, and which random choices they make."""

import os
import random
from collections.abc import Callable

from ...testing import processes
from ...testing.processes import Result, WaitForAll

SCALE = int(os.environ.get("D1_ISOLATION_SCALE", "1"))  # times the usual work
TIMEOUT_SECONDS = processes.TIMEOUT_SECONDS * SCALE


def run_concurrently(size: int, job: Callable[[int, WaitForAll], Result]) -> list[Result]:
    """Run a job in `size` processes, with random choices from one seed; return their results by number."""
    choices(-1)  # draws the seed before the fork, so that there is one for all
    return processes.run_concurrently(size, job, seconds=TIMEOUT_SECONDS)


def choices(process: int) -> random.Random:
    """Return the random choices of a process; prints the seed, which pytest shows when a test fails."""
    seed = os.environ.setdefault("D1_ISOLATION_SEED", str(random.SystemRandom().randrange(10**6)))
    print(f"D1_ISOLATION_SEED={seed}, process {process}")
    return random.Random(f"{seed} {process}")
