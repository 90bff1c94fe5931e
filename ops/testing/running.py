"""A running shop: the processes of `make run`, on free ports and their own folder."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from kikaku.testing.ports import find_free_ports

ROOT = Path(__file__).resolve().parents[2]
TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"


@cache
def static_root() -> Path:
    """Return the folder of hashed static files that all shops of this process share, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix="kikaku-static-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class RunningShop:
    """`scripts/run.py` as a child process, its output, and `manage.py` on the same state.

    With `terminal` the child process is a terminal, in which `scripts/run.py` runs. `variables` are further
    ones of its environment.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        d1: bool = False,
        terminal: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or find_free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(
                ("STRIPE_", "R2_", "REDIS_", "COV_", "COVERAGE_", "PYTEST_", "DATABASE_", "D1_")
            )
        }
        self.environment = {
            **environment,
            "ENVIRONMENT": "development",
            "DJANGO_SETTINGS_MODULE": "ops.testing.settings",
            "KIKAKU_TEST_ROOT": str(folder),
            "KIKAKU_TEST_STATIC_ROOT": str(static_root()),
            **({} if d1 else {"DATABASE_URL": f"sqlite:///{folder / 'kikaku.sqlite3'}"}),
            "PORT": str(self.port),
            "STOREFRONT_BASE_URL": self.url,
            **(variables or {}),
        }
        self.process = subprocess.Popen(
            [
                *([sys.executable, "-c", TERMINAL] if terminal else []),
                *[sys.executable, str(ROOT / "scripts" / "run.py"), *(["d1"] if d1 else [])],
            ],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def output(self) -> str:
        """Return everything that was printed so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str, *, seconds: float) -> None:
        """Wait until a line with `text` has been printed; fail with all lines if none appears in time."""
        deadline = time.monotonic() + seconds
        while text not in self.output():
            ended = self.process.poll() is not None
            if ended:
                self.wait_for_end()  # the text may be in the last lines
            if ended or time.monotonic() > deadline:
                assert text in self.output(), f"{text!r} was not printed:\n{self.output()}"
                return
            time.sleep(0.05)

    def wait_for_end(self) -> None:
        """Wait until the last line has been read."""
        self._reader.join(timeout=10)

    def wait_until_ready(self) -> "RunningShop":
        """Wait for the block with addresses and login; keep its variables for a second terminal."""
        self.wait_for("Ctrl-C ends everything", seconds=180)
        exports = [line.split("export ", 1)[1] for line in self.lines if line.strip().startswith("export ")]
        self.environment |= dict(line.split("=", 1) for line in exports)
        return self

    def login(self) -> tuple[str, str]:
        """Return user name and password of the staff login of this run."""
        user, password = (self.folder / "staff-login.txt").read_text().split()
        return user, password

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a management command on the same state, as in a second terminal."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def children(self) -> list[int]:
        """Return the ids of all processes below `scripts/run.py` that still run (Linux)."""
        parents: dict[int, int] = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                rest = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if rest[0] != "Z":
                parents[int(status.parent.name)] = int(rest[1])
        found = [self.process.pid]
        for parent in found:
            found += [pid for pid, its_parent in parents.items() if its_parent == parent]
        return found[1:]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


def wait_until_gone(pids: list[int]) -> list[int]:
    """Wait up to 40 seconds for processes to end (a lifeline gives 12); return those that still run."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        pids = [pid for pid in pids if (Path("/proc") / str(pid)).exists()]
        if not pids:
            break
        time.sleep(0.05)
    return pids
