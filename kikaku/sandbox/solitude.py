"""Who acts on the state: everybody, or one alone who plays a history with a clock in the past.

To a server with today's clock a session of last week is long expired, and its events are long due; so while a history
is played nobody else lets things come due. Advisory locks on a file beside the state: they end with their process.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOOK_SECONDS = 0.05


class NotAlone(Exception):
    """Somebody else has the state to himself, or did not let go of it in time."""


@contextmanager
def alone(state: Path, *, patience: float = 3.0) -> Iterator[None]:
    """Have the state to oneself for the length of the block, after waiting for who is acting on it.

    Raises:
        NotAlone: others were still there after `patience` seconds.
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
                    raise NotAlone(f"Others are still acting on {state.name}.") from None
                time.sleep(_LOOK_SECONDS)
        yield


@contextmanager
def among_others(state: Path) -> Iterator[bool]:
    """Act beside others: yields whether one may. False: somebody has the state to himself."""
    path = _lock_file(state)
    if not path.exists():  # nobody was ever alone: the usual case costs one look
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
    return state.with_name(state.name + ".alone")
