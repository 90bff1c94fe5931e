"""A limit for clients that take nothing of a response: the system closes their connections.

Granian waits for them without end, so a few thousand of them would leave no connection to anyone else. Its
sockets are made outside Python: the one that accepts connections is found among the open files of the
process, and every connection inherits the option from it. Linux only; elsewhere there is no limit.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OPEN_FILES = Path("/proc/self/fd")
LOOK_SECONDS = 0.05  # between two looks for it at the start


def listening_sockets() -> Iterator[socket.socket]:
    """Yield a duplicate of each TCP socket of this process that accepts connections, open until the next."""
    for number in [int(file.name) for file in OPEN_FILES.iterdir()]:
        with suppress(OSError):  # closed meanwhile, or no socket
            duplicate = os.dup(number)
            try:
                found = socket.socket(fileno=duplicate)
            except OSError:
                os.close(duplicate)
                raise
            with found:
                internet = found.family in (socket.AF_INET, socket.AF_INET6)
                if internet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield found


def limit_stalls(seconds: float) -> int:
    """Let connections end whose client takes nothing for so long; return how many sockets accept them."""
    count = 0
    for listener in listening_sockets():
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        count += 1
    return count


def limit_stalls_once_listening(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Do as `limit_stalls` does, now or as soon as this process listens."""
    if OPEN_FILES.is_dir() and not limit_stalls(seconds):
        loop.call_later(LOOK_SECONDS, limit_stalls_once_listening, loop, seconds)
