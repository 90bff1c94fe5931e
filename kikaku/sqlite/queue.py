"""A queue for a database's writers: first come, first served, across the threads and processes of a machine.

SQLite lets a writer that finds the database locked sleep and try again, so the order is random, and a writer
may wait for seconds. Here each writer takes a ticket and waits for those before it. SQLite's own lock still
decides who writes: a failure of the queue (a read-only folder, a system without these locks, a removed file)
only loses the order, never data.

1. A file beside the database has the number of tickets taken, and the first ticket that has not been skipped
   (see 5); released tickets before a writer are found by their unlocked bytes. A lock on the file's byte 0
   protects this header; it is held for microseconds.
2. Ticket n is in use as long as byte TICKETS_OFFSET + n is locked. It is a lock of the open file description:
   the kernel releases it when the file is closed or the process dies, and two connections of one process
   exclude each other.
3. A ticket's turn has come when no byte from the first ticket not skipped up to it is locked by another
   holder.
4. A writer that leaves wakes the next one by a datagram socket that is named after the ticket. If that
   message is lost (the sender was killed), the waiting writer notices by itself: it checks several times a
   second.
5. A writer waits at most `timeout` seconds, then skips the tickets before it: their holder may be suspended.

The kernel's blocking locks are not enough: a released lock is free for the next caller before the waiting one
is awake, and they have no timeout.
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

HEADER = struct.Struct("=qq")  # number of tickets taken, first ticket not skipped
HEADER_BYTE = 0  # its lock protects the header
TICKETS_OFFSET = 64  # file offset of ticket 0's byte
LOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid (0 for this kind of lock)
POLL_INTERVAL = 0.05  # seconds between two checks of a waiting writer
HEADER_TIMEOUT = 1.0  # seconds; only a suspended process holds the header that long

SUPPORTED = hasattr(fcntl, "F_OFD_SETLK") and hasattr(socket, "AF_UNIX")  # Linux


class QueuePlace:
    """One connection's place in the queue of its database."""

    def __init__(self, database: str, *, timeout: float) -> None:
        self.database = Path(database)
        self.timeout = timeout  # seconds
        self.ticket: int | None = None
        self._file: int | None = None  # the descriptor
        self._socket_prefix = ""  # of names in Linux's abstract namespace, which are no files
        _places.add(self)

    def enter(self) -> None:
        """Wait until all earlier writers have left, at most `timeout` seconds; a second call does nothing."""
        if self.ticket is not None or not SUPPORTED:
            return
        try:
            file = self._open()
            self.ticket = _take_ticket(file)
            if self.ticket is not None and not _is_first(file, self.ticket):
                self._wait(file, self.ticket)
        except OSError:
            self.close()  # without a queue SQLite's own lock decides
        except BaseException:
            self.leave()
            raise

    def leave(self) -> None:
        """Release the ticket and wake the next writer."""
        ticket, self.ticket = self.ticket, None
        if ticket is None or self._file is None:
            return
        with suppress(OSError):
            _lock(self._file, fcntl.F_UNLCK, TICKETS_OFFSET + ticket)
            taken, _first = _header(self._file)
            if taken > ticket + 1:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                    sender.sendto(b"!", f"{self._socket_prefix}{ticket + 1}")

    def close(self) -> None:
        """Leave, and close the file."""
        self.leave()
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    __del__ = close

    def _open(self) -> int:
        if self._file is None:
            path = self.database.with_name(f"{self.database.name}-queue")
            mode = self.database.stat().st_mode & 0o777  # the same permissions as the database
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
            status = os.fstat(self._file)
            self._socket_prefix = f"\0kikaku-queue-{status.st_dev}-{status.st_ino}-"
        return self._file

    def _wait(self, file: int, ticket: int) -> None:
        until = time.monotonic() + self.timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wakeup:
            wakeup.bind(f"{self._socket_prefix}{ticket}")
            wakeup.settimeout(POLL_INTERVAL)
            while not _is_first(file, ticket):  # checked after bind(), so that no message is missed
                if time.monotonic() >= until:
                    _skip_to(file, ticket)
                    return
                with suppress(TimeoutError):
                    wakeup.recv(1)


def _take_ticket(file: int) -> int | None:
    """Return the next ticket, locked; None when the header stays locked by another process."""
    with _locked_header(file) as is_locked:
        if not is_locked:
            return None
        taken, first = _header(file)
        _lock(file, fcntl.F_WRLCK, TICKETS_OFFSET + taken)
        os.pwrite(file, HEADER.pack(taken + 1, first), 0)
        return taken


def _is_first(file: int, ticket: int) -> bool:
    """Return whether no ticket before `ticket` is in use."""
    _taken, first = _header(file)
    if first >= ticket:
        return True
    request = LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, TICKETS_OFFSET + first, ticket - first, 0)
    conflict = LOCK.unpack(fcntl.fcntl(file, fcntl.F_OFD_GETLK, request))
    return bool(conflict[0] == fcntl.F_UNLCK)


def _skip_to(file: int, ticket: int) -> None:
    """Skip the tickets before `ticket`, for all waiting writers."""
    with _locked_header(file) as is_locked:
        if is_locked:
            taken, first = _header(file)
            os.pwrite(file, HEADER.pack(taken, max(first, ticket)), 0)


@contextmanager
def _locked_header(file: int) -> Iterator[bool]:
    """Lock the header in this context; yields False when another process holds it for too long."""
    until = time.monotonic() + HEADER_TIMEOUT
    while True:
        try:
            _lock(file, fcntl.F_WRLCK, HEADER_BYTE)
            break
        except (BlockingIOError, PermissionError):  # EAGAIN and EACCES: it is locked
            if time.monotonic() >= until:
                yield False
                return
            time.sleep(0.0002)
    try:
        yield True
    finally:
        _lock(file, fcntl.F_UNLCK, HEADER_BYTE)


def _header(file: int) -> tuple[int, int]:
    """Return (number of tickets taken, first ticket not skipped); both are 0 in a new file."""
    content = os.pread(file, HEADER.size, 0)
    taken, first = HEADER.unpack(content) if len(content) == HEADER.size else (0, 0)
    return taken, first


def _lock(file: int, kind: int, byte: int) -> None:
    """Lock or unlock a byte, without waiting."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, LOCK.pack(kind, os.SEEK_SET, byte, 1, 0))


_places: "weakref.WeakSet[QueuePlace]" = weakref.WeakSet()


def _close_inherited() -> None:
    """Close the files that a forked child inherits: a lock lasts as long as any process has its file open."""
    for place in _places:
        place.ticket = None  # it belongs to the parent
        place.close()


os.register_at_fork(after_in_child=_close_inherited)
