"""The web server on the test's database, as a child process."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kikaku.testing.database import database_environment
from kikaku.testing.ports import find_free_ports

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
WEB_SERVER = ("-m", "kikaku.server")


@dataclass(frozen=True)
class Server:
    """A running web server."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def address(self) -> str:
        """Return its address without a slash."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self, *, seconds: float = 30.0) -> socket.socket:
        """Open a connection that waits `seconds` at most for each answer."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=seconds)


@contextlib.contextmanager
def served(
    folder: Path,
    *,
    settings: str,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
    command: Sequence[str] = WEB_SERVER,
) -> Iterator[Server]:
    """Serve the shop with a settings module until the block ends; then kill the server's process group.

    Its log is in `folder`, which is on the path, so the settings may be there.
    """
    port = find_free_ports()
    log = folder / "web.log"
    own = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port), *options],
            cwd=ROOT,
            env={
                **own,
                "ENVIRONMENT": "development",
                "DJANGO_SETTINGS_MODULE": settings,
                "PYTHONPATH": str(folder),
                "KIKAKU_TEST_ROOT": str(folder),
                **database_environment(),
                "PORT": str(port),
                "STOREFRONT_BASE_URL": f"http://127.0.0.1:{port}",
                **(variables or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)
        yield Server(port, process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
