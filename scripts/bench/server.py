"""A web server as `make run` starts it, a connection to it, and its processor time."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.caches import VARIABLE, turned_off

START_SECONDS = 60.0
GRACE_SECONDS = 10.0


class ServerFailed(Exception):
    """A server did not start, or sent an unexpected response."""


@dataclass(frozen=True)
class Request:
    """An HTTP request."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Response:
    """An HTTP response; `seconds` from the first byte sent to the last one read."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    seconds: float


class _SingleWriteConnection(http.client.HTTPConnection):
    """A connection that sends head and body of a request together, as browsers do with small forms."""

    _unsent = b""

    def send(self, data: Any) -> None:
        """Collect the bytes of the request."""
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        """Send the request and wait for the response."""
        collected, self._unsent = self._unsent, b""
        super().send(collected)
        return super().getresponse()


class Connection:
    """A connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._http = _SingleWriteConnection("127.0.0.1", port, timeout=60)
        self._http.connect()
        assert self._http.sock is not None
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: Request) -> Response:
        """Send a request and return the whole response."""
        began = time.perf_counter()
        self._http.request(
            request.method, request.path, body=request.body or None, headers=dict(request.headers)
        )
        answer = self._http.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body, seconds)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


@dataclass
class Server:
    """A process that listens on `port`."""

    port: int
    process: "subprocess.Popen[bytes]"

    def connect(self) -> Connection:
        """Open a connection."""
        return Connection(self.port)

    def cpu_seconds(self) -> float | None:
        """Return user and system time of its process tree; None if the operating system does not have it."""
        if not sys.platform.startswith("linux"):
            return None
        # the clock of another process's CPU time, as clock_getcpuclockid(3) makes it: nanoseconds, not ticks
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in _tree(self.process.pid))


def _tree(root: int) -> list[int]:
    """Return the ids of a process and all its descendants."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(port: int) -> dict[str, str]:
    """Return the environment of a child process: ours, with its port."""
    return {
        **os.environ,
        "PORT": str(port),
        "STOREFRONT_BASE_URL": f"http://127.0.0.1:{port}",
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def web(application: str, *, log: Path, without: Iterable[str] = ()) -> Iterator[Server]:
    """Serve an RSGI application as `make run` does, with one worker.

    It runs without the caches in `without` and those that the environment turns off.
    """
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "kikaku.server",
        application,
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    off = ",".join([*turned_off(), *without])
    with running(command, port, log=log, variables={VARIABLE: off}) as server:
        yield server


@contextlib.contextmanager
def running(
    command: list[str], port: int, *, log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start a process and wait until it listens on `port`; stop it on exit.

    Raises `ServerFailed` with the end of its log if it does not start.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**environment(port), **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-2000:]
                raise ServerFailed(f"{' '.join(command[1:])} did not start:\n{end}")
            time.sleep(0.05)
        yield Server(port, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
