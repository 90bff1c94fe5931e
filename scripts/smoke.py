#!/usr/bin/env python3
"""Walk a newcomer's first minute: clone, `make run`, look at the shop, Ctrl-C. Prints what it saw and how long it took.

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
START_SECONDS = 600  # the first start installs every package
OURS = (
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


def free_port() -> int:
    """Give a port that is free together with the next one."""
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
    """Give the HTTP status of an address, 0 when nothing listens."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def start(clone: Path, environment: dict[str, str], port: int) -> "tuple[subprocess.Popen[bytes], float]":
    """Start `make run` and wait for /health. Returns the process and the seconds it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["make", "run"], cwd=clone, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    while status(f"http://127.0.0.1:{port}/health") != 200:
        if process.poll() is not None or time.monotonic() - began > START_SECONDS:
            stop(process)
            sys.exit("make run did not start: its words are above.")
        time.sleep(0.2)
    return process, time.monotonic() - began


def stop(process: "subprocess.Popen[bytes]") -> None:
    """Press Ctrl-C, and insist after 20 seconds."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            sys.exit("make run did not end within 20 seconds of Ctrl-C.")


def main() -> int:
    """Return 0 when every page answered 200, both starts, and everything ended."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
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
                print("something still listens after the end", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
