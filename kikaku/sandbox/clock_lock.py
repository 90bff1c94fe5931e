"""The lock on a state file's clock: shared by all who run due tasks, exclusive to a demo history in the past.

By today's clock a session of last week has expired and its events are due. So while a history is being
written, no other process runs due tasks or delivers events. Advisory locks on a file beside the state; they
end with their process.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.05


class ClockInUse(Exception):
    """Raised when the clock is locked by another process or was not released in time."""


@contextmanager
def exclusive_clock(state: Path, *, patience: float = 3.0) -> Iterator[None]:
    """Hold the clock of a state file exclusively during the block, after waiting for its users.

    Raises:
        ClockInUse: it was still in use after `patience` seconds.
    """
    deadline = time.monotonic() + patience
    state.parent.mkdir(parents=True, exist_ok=True)
    with _lock_file(state).open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ClockInUse(f"The clock of {state.name} is still in use.") from None
                time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def shared_clock(state: Path) -> Iterator[bool]:
    """Use the clock of a state file during the block; yield False if it is held exclusively elsewhere."""
    path = _lock_file(state)
    if not path.exists():  # it was never held exclusively: the usual case costs one look-up
        yield True
        return
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _lock_file(state: Path) -> Path:
    return state.with_name(state.name + ".clock")
