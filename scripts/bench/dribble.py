"""The home page while clients send bodies byte by byte."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.report import Figure
from bench.server import Request, Server, web

BODIES = 60
BYTE_SECONDS = 0.5  # between two bytes of a body
REQUESTS = 500  # within the front door's patience of 20 seconds
GOAL_P99_MILLISECONDS = 50.0
HEAD = b"POST /contact/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n"


@contextlib.contextmanager
def dribbling(server: Server) -> Iterator[None]:
    """Let `BODIES` clients send a byte now and then."""
    done = threading.Event()
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        clients = [stack.enter_context(socket.create_connection(address)) for _body in range(BODIES)]
        for client in clients:
            client.sendall(HEAD)

        def dribble() -> None:
            while not done.wait(BYTE_SECONDS):
                for client in clients:
                    with contextlib.suppress(OSError):  # refused after the front door's patience
                        client.sendall(b"x")

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def measure(folder: Path, *, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Yield the 99th percentile of the time that the home page takes."""
    progress(f"pages: / while {BODIES} bodies dribble")
    page = Request("/")
    with web("bench.shop:door", log=folder / "dribble.log") as server:
        connection = server.connect()
        connection.send(page)  # warms up
        with dribbling(server):
            responses = [connection.send(page) for _request in range(REQUESTS)]
        connection.close()
    wrong = sum(response.status != 200 for response in responses)
    slowest = sorted(response.seconds for response in responses)[REQUESTS * 99 // 100 - 1]
    yield Figure(
        f"/ while {BODIES} bodies dribble, p99",
        1000 * slowest,
        "ms",
        GOAL_P99_MILLISECONDS,
        f"{wrong} failed",
    )
