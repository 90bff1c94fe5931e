"""The web server: granian as production, `make run`, the benchmark and the tests start it.

    python -m kikaku.server --host 0.0.0.0      the shop, on $PORT

Every option of granian that matters is here and nowhere else.
"""

import argparse
import os
import resource

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels

HEAD_SECONDS = 15.0  # until a request's head is whole; also how long a kept connection may be idle
MAX_CONNECTIONS = 4_096  # open ones; further ones wait to be accepted
OPEN_FILES = MAX_CONNECTIONS + 1_000  # connections, databases, logs
STOP_SECONDS = 5  # for requests in progress, after SIGTERM


def raise_open_files_limit() -> None:
    """Let this process and its workers open as many files as connections need, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m kikaku.server", description="Serve the shop.")
    parser.add_argument("application", nargs="?", default="kikaku.rsgi:door", help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000))
    workers = int(os.environ.get("WEB_WORKERS") or 1)
    parser.add_argument("--workers", type=int, default=workers, help="processes (default %(default)s)")
    parser.add_argument("--head-seconds", type=float, default=HEAD_SECONDS, help="default: %(default)s")
    parser.add_argument("--log-level", default="warning", choices=[level.value for level in LogLevels])
    return parser.parse_args()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    options = read_arguments()
    raise_open_files_limit()
    os.environ["WEB_WORKERS"] = str(options.workers)  # how many starts are one start of the server
    Granian(
        options.application,
        address=options.host,
        port=options.port,
        workers=options.workers,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,  # granian's "auto" waits for a connection's first bytes without a limit
        http1_settings=HTTP1Settings(header_read_timeout=int(options.head_seconds * 1000)),
        websockets=False,
        backpressure=MAX_CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels(options.log_level),
    ).serve()


if __name__ == "__main__":
    main()
