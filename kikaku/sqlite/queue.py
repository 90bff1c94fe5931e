"""The queue of a database's writers: first come, first served, across the threads and processes of a machine.

SQLite lets a writer that meets another sleep for a while and try again, so that whoever comes at the right
moment wins, and somebody may wait for seconds. Here each writer draws a ticket and waits for those before it.
The queue is a courtesy: SQLite's own lock still decides who writes. So whatever goes wrong here (a read-only
folder, a system without the locks, a file that somebody removed) costs the order, never the data.

1. The file beside the database holds how many tickets were drawn, and the first that is still waited for. Whoever
   changes it holds the lock on its byte 0, for microseconds.
2. Ticket n is held as long as byte FIRST + n is locked. It is a lock of the open file description: the kernel
   releases it when its holder closes the file or dies, and two connections of one process exclude each other.
3. The turn has come when no byte between the first ticket and one's own is locked by somebody else.
4. Who leaves rings the next one's bell, a datagram socket named after the ticket. A bell that does not ring (its
   ringer was killed) is no harm: who waits also looks by itself, a few times a second.
5. Nobody is waited for longer than `patience`: a holder that was suspended or takes that long is passed over.

The kernel's blocking locks alone would not do: a lock that is released is free for whoever asks next, before
the one who waited is awake; and they know no time-out.
"""

import fcntl
import os
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HEADER = struct.Struct("=qq")  # tickets drawn, first that is waited for
DOOR = 0  # the byte whose lock guards the header
FIRST = 64  # the byte of ticket 0
LOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid (0 for this kind of lock)
LOOK = 0.05  # seconds between two looks of who waits for its bell
DOOR_SECONDS = 1.0  # nobody stands in the door longer, unless suspended there

SUPPORTED = hasattr(fcntl, "F_OFD_SETLK") and hasattr(socket, "AF_UNIX")  # Linux


class WriterQueue:
    """One connection's way into the queue of its database."""

    def __init__(self, database: str, *, patience: float) -> None:
        self.database = Path(database)
        self.patience = patience  # seconds
        self.ticket: int | None = None
        self._file: int | None = None  # the descriptor
        self._bells = ""  # what their names begin with, in Linux's abstract name space: no files
        _queues.add(self)

    def enter(self) -> None:
        """Wait for the turn: until those who came before have left, or `patience` seconds. Twice is once."""
        if self.ticket is not None or not SUPPORTED:
            return
        try:
            file = self._open()
            self.ticket = _draw(file)
            if self.ticket is not None and not _is_first(file, self.ticket):
                self._wait(file, self.ticket)
        except OSError:
            self.close()  # step aside: SQLite's own lock decides
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Give the turn to the next."""
        ticket, self.ticket = self.ticket, None
        if ticket is None or self._file is None:
            return
        with suppress(OSError):
            _lock(self._file, fcntl.F_UNLCK, FIRST + ticket)
            drawn, _first = _header(self._file)
            if drawn > ticket + 1:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ringer:
                    ringer.sendto(b"!", f"{self._bells}{ticket + 1}")

    def close(self) -> None:
        """Leave, and let go of the file."""
        self.leave()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    __del__ = close

    def _open(self) -> int:
        if self._file is None:
            path = self.database.with_name(f"{self.database.name}-queue")
            mode = self.database.stat().st_mode & 0o777  # who may write the one may write the other
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
            made = os.fstat(self._file)
            self._bells = f"\0kikaku-queue-{made.st_dev}-{made.st_ino}-"
        return self._file

    def _wait(self, file: int, ticket: int) -> None:
        until = time.monotonic() + self.patience
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            bell.bind(f"{self._bells}{ticket}")
            bell.settimeout(LOOK)
            while not _is_first(file, ticket):  # looked at after the bell hangs: nothing rings unheard
                if time.monotonic() >= until:
                    _pass_over(file, ticket)
                    return
                with suppress(TimeoutError):
                    bell.recv(1)


def _draw(file: int) -> int | None:
    """Draw the next ticket and hold it. None when somebody stands in the door for too long."""
    with _door(file) as open_:
        if not open_:
            return None
        drawn, first = _header(file)
        _lock(file, fcntl.F_WRLCK, FIRST + drawn)
        os.pwrite(file, HEADER.pack(drawn + 1, first), 0)
        return drawn


def _is_first(file: int, ticket: int) -> bool:
    """Tell whether nobody before `ticket` is waited for any more."""
    _drawn, first = _header(file)
    if first >= ticket:
        return True
    asked = LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, FIRST + first, ticket - first, 0)
    met = LOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))
    return bool(met[0] == fcntl.F_UNLCK)


def _pass_over(file: int, ticket: int) -> None:
    """Let nobody wait any longer for those before `ticket`."""
    with _door(file) as open_:
        if open_:
            drawn, first = _header(file)
            os.pwrite(file, HEADER.pack(drawn, max(first, ticket)), 0)


@contextmanager
def _door(file: int) -> Iterator[bool]:
    """Have the header to oneself; False when somebody does not leave it."""
    until = time.monotonic() + DOOR_SECONDS
    while True:
        try:
            _lock(file, fcntl.F_WRLCK, DOOR)
            break
        except (BlockingIOError, PermissionError):  # the two ways to say that it is taken
            if time.monotonic() >= until:
                yield False
                return
            time.sleep(0.0002)
    try:
        yield True
    finally:
        _lock(file, fcntl.F_UNLCK, DOOR)


def _header(file: int) -> tuple[int, int]:
    """Read the tickets drawn and the first that is waited for; a new file has none."""
    read = os.pread(file, HEADER.size, 0)
    drawn, first = HEADER.unpack(read) if len(read) == HEADER.size else (0, 0)
    return drawn, first


def _lock(file: int, kind: int, byte: int) -> None:
    """Lock or unlock a byte, without waiting."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, LOCK.pack(kind, os.SEEK_SET, byte, 1, 0))


_queues: "weakref.WeakSet[WriterQueue]" = weakref.WeakSet()


def _forget() -> None:
    """Close the files that a forked child inherits: a lock ends with the last holder of its open file."""
    for queue in _queues:
        queue.ticket = None  # the parent's, not ours to give up
        queue.close()


os.register_at_fork(after_in_child=_forget)
