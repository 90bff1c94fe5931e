"""Run an engine until Ctrl-C: `python -m <package>.engine DATABASE …`, by default `app` and `test_app`."""

import contextlib
import signal
import sys
import time
from collections.abc import Sequence

from . import SECRET_VARIABLE, EngineUnavailable, temporary_engine


def main(databases: Sequence[str]) -> int:
    """Run an engine with these databases until Ctrl-C or SIGTERM, and print how to use it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with temporary_engine(databases) as engine, contextlib.suppress(KeyboardInterrupt):
            print(f"DATABASE_URL={engine.url(databases[0])}\n{SECRET_VARIABLE}={engine.secret}", flush=True)  # noqa: T201
            while True:
                time.sleep(3600)
    except EngineUnavailable as error:
        print(f"There is no D1: {error}.", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or ["app", "test_app"]))
