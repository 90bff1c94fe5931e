#!/usr/bin/env python3
"""Smoke test of a newcomer's first start: clone, `make run`, open pages, Ctrl-C. Prints statuses and times.

.venv/bin/python scripts/smoke.py            clones HEAD into a temporary folder
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_SECONDS = 600  # the first start installs every package
OUR_VARIABLES = (
    "ENVIRONMENT",
    "SECRET_KEY",
    "DATABASE_URL",
    "STRIPE_",
    "KIKAKU_",
    "DJANGO_",
    "STOREFRONT_",
    "EMAIL_URL",
)
PAGES = ("/", "/products/", "/en/", "/search/?q=LED", "/cart/", "/admin/login/", "/health")


def find_free_port() -> int:
    """Return a port that is free together with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


def status(address: str) -> int:
    """Return the HTTP status of an address, 0 if it does not answer."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def start(clone: Path, environment: dict[str, str], port: int) -> "tuple[subprocess.Popen[bytes], float]":
    """Start `make run` and wait for /health; return the process and the seconds that it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "run"], cwd=clone, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    while status(f"http://127.0.0.1:{port}/health") != 200:
        if process.poll() is not None or time.monotonic() - began > START_TIMEOUT_SECONDS:
            stop(process)
            sys.exit("make run did not start: its output is above.")
        time.sleep(0.2)
    return process, time.monotonic() - began


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Send SIGINT as Ctrl-C does; after 20 seconds kill the process and exit with an error."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            sys.exit("make run did not end within 20 seconds of Ctrl-C.")


def main() -> int:
    """Return 0 if all pages answer 200 after both starts and the shop ends each time."""
    port = find_free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
    environment["PORT"] = str(port)
    with tempfile.TemporaryDirectory(prefix="kikaku-smoke-") as folder:
        clone = Path(folder) / "kikaku"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        for which in ("first", "second"):
            process, seconds = start(clone, environment, port)
            try:
                answers = {page: status(f"http://127.0.0.1:{port}{page}") for page in PAGES}
            finally:
                stop(process)
            print(f"{which} start: {seconds:.1f} s; {answers}", flush=True)
            if set(answers.values()) != {200}:
                return 1
            if status(f"http://127.0.0.1:{port}/health"):
                print("a process still listens after the end", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
