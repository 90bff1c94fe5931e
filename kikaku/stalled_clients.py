"""A limit for clients that take nothing of a response: the system closes their connections.

Granian waits for them without end, so a few thousand of them would leave no connection to anyone else. Its
sockets are made outside Python: the one that accepts connections is found among the open files of the
process, and every connection inherits the option from it. Linux only; elsewhere there is no limit.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

OPEN_FILES = Path("/proc/self/fd")
LOOK_SECONDS = 0.05  # between two looks for it at the start


def limit_stalls(seconds: float) -> int:
    """Let connections end whose client takes nothing for so long; return how many sockets accept them.

    No open file is duplicated and none is closed: a process that closes one of the files of a SQLite database
    loses its locks on it, and the database is corrupted (SQLite, "How To Corrupt", 2.2).
    """
    count = 0
    for number in [int(file.name) for file in OPEN_FILES.iterdir()]:
        with suppress(OSError):  # closed meanwhile, or no socket
            found = socket.socket(fileno=number)
            try:
                internet = found.family in (socket.AF_INET, socket.AF_INET6)
                if internet and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
                    count += 1
            finally:
                found.detach()
    return count


def limit_stalls_once_listening(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Do as `limit_stalls` does, now or as soon as this process listens."""
    if OPEN_FILES.is_dir() and not limit_stalls(seconds):
        loop.call_later(LOOK_SECONDS, limit_stalls_once_listening, loop, seconds)
