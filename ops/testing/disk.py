"""A disk on which nothing more fits."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

SMALLER_THAN_A_PAGE = 4_000  # bytes; SQLite writes 4,096 at once


@contextmanager
def full_disk() -> Iterator[None]:
    """Let this process write no file beyond its first bytes; SQLite and Django see a write that failed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALLER_THAN_A_PAGE, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
