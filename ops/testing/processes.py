"""The processes of a shop, each started and killed alone: web, worker, Stripe stand-in."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kikaku.testing.ports import find_free_ports

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


class Processes:
    """The shop's processes on one database; `variables` are those of the shop."""

    def __init__(self, folder: Path, variables: Mapping[str, str], *, settings: str) -> None:
        self.folder = folder
        self.port = find_free_ports()
        self.stripe_port = self.port + 1
        self.address = f"http://127.0.0.1:{self.port}"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._lines: dict[str, list[str]] = {}
        own = {name: value for name, value in os.environ.items() if not name.startswith("STRIPE_")}
        self.environment = {
            **own,
            "ENVIRONMENT": "development",
            "DJANGO_SETTINGS_MODULE": settings,
            "PYTHONUNBUFFERED": "1",
            "KIKAKU_TEST_ROOT": str(folder),
            "PORT": str(self.port),
            "STOREFRONT_BASE_URL": self.address,
            "STRIPE_API_BASE": f"http://127.0.0.1:{self.stripe_port}",
            "KIKAKU_TEST_STRIPE_PORT": str(self.stripe_port),
            **variables,
        }
        self._commands = {
            "web": ["-m", "kikaku.server", "--port", str(self.port), "--log-level", "error"],
            "worker": ["manage.py", "worker"],
            "stripe": ["manage.py", "stripe_sandbox"],
        }

    def log(self, name: str) -> str:
        """Return what a process has written."""
        return "".join(self._lines.get(name, []))

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        """Keep what a process writes: a pipe, because a file could not be written on a full disk."""
        lines = self._lines.setdefault(name, [])
        for line in pipe:
            lines.append(line.decode(errors="replace"))

    def start(self, name: str, **variables: str) -> None:
        """Start a process; wait until it listens, if it does."""
        process = subprocess.Popen(
            [sys.executable, *self._commands[name]],
            cwd=ROOT,
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.running[name] = process
        threading.Thread(target=self._read, args=(name, process.stdout), daemon=True).start()
        port = {"web": self.port, "stripe": self.stripe_port}.get(name)
        until = time.monotonic() + START_SECONDS
        while port is not None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            ended = self.running[name].poll() is not None
            assert not ended and time.monotonic() < until, self.log(name)[-3000:]
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """Kill a process with all that it has started."""
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """Kill all that runs."""
        for name in [*self.running]:
            self.kill(name)

    def ids(self, name: str) -> list[int]:
        """Return the ids of a process and of all that it has started (Linux)."""
        group = self.running[name].pid
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, ValueError):
                fields = status.read_text().rpartition(")")[2].split()
                if int(fields[2]) == group:
                    found.append(int(status.parent.name))
        return found

    def manage(self, *arguments: str, seconds: float = 120) -> "subprocess.CompletedProcess[str]":
        """Run a management command on the same shop."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
