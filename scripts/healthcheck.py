"""The image's HEALTHCHECK: exit with 0 if what runs in this container works.

A worker has left a heartbeat in the file that `WORKER_HEARTBEAT_FILE` names: it must be recent. Every other
container serves the shop: its /health must answer 200.
"""

import os
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

MAX_SILENCE_SECONDS = 120  # a worker writes its heartbeat every 30


def check_worker(heartbeat: Path) -> str:
    """Return what is wrong with the worker; "" for nothing."""
    silence = time.time() - heartbeat.stat().st_mtime
    return f"the worker's last heartbeat is {silence:.0f} s old" if silence > MAX_SILENCE_SECONDS else ""


def check_web() -> str:
    """Return what is wrong with the web server; "" for nothing."""
    host = urlsplit(os.environ.get("STOREFRONT_BASE_URL", "")).netloc or "127.0.0.1"
    request = urllib.request.Request(
        f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health", headers={"Host": host}
    )
    try:
        with urllib.request.urlopen(request, timeout=4) as answer:
            return "" if answer.status == 200 else f"/health answers {answer.status}"
    except OSError as error:
        return str(error)


def main() -> int:
    """Print what is wrong and return 1, or return 0."""
    heartbeat = os.environ.get("WORKER_HEARTBEAT_FILE", "")
    is_worker = heartbeat and Path(heartbeat).exists()
    problem = check_worker(Path(heartbeat)) if is_worker else check_web()
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
