"""The close of a day: its time and its memory, in a process of its own, beside the stand-in in another.

python -m bench.close 2026-11-25      closes that day on the bench's database and prints JSON
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from bench.report import Figure
from bench.server import ServerFailed, environment, free_port, running

GREAT_DAY = 100_000  # payments; the goals are meant for it
SECONDS, MEGABYTES = 60.0, 300.0


def measure(folder: Path, *, payments: int, say: Callable[[str], None]) -> Iterator[Figure]:
    """Fill yesterday with so many payments and close it. Raises `ServerFailed` when it does not close."""
    from django.utils import timezone

    from kikaku.days import yesterday
    from kikaku.sandbox import adapter
    from ledger.testing import busy_day

    day = yesterday(timezone.now())
    busy_day.fill(adapter.sandbox(), day, payments=payments, say=lambda text: say(f"close: {text}"))
    adapter.sandbox().close()
    port = free_port()
    stand_in = [sys.executable, "manage.py", "stripe_sandbox", "--port", str(port)]
    with running(stand_in, port, log=folder / "stripe.log"):
        say(f"close: closing {day}")
        closing = subprocess.run(
            [sys.executable, "-m", "bench.close", day.isoformat()],
            env={**environment(free_port()), "STRIPE_API_BASE": f"http://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
        )
    if closing.returncode:
        raise ServerFailed(f"the close failed:\n{closing.stderr[-2000:]}")
    told = json.loads(closing.stdout.splitlines()[-1])
    name = f"day of {payments:,} payments"
    great = payments >= GREAT_DAY
    meant = "" if great else f"; goal for {GREAT_DAY:,} (--day {GREAT_DAY}): "
    note = f"{told['cpu']:.1f} s of its own processor time; {told['differences']} differences"
    note += f"{meant}{SECONDS:.0f} s" if meant else ""
    yield Figure(f"{name}, time", told["seconds"], "s", SECONDS if great else None, note)
    note = f"{told['before']:.0f} MB before it began" + (f"{meant}{MEGABYTES:.0f} MB" if meant else "")
    yield Figure(f"{name}, peak memory", told["peak"], "MB", MEGABYTES if great else None, note)


def peak_memory() -> float:
    """Give the largest resident size of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss would begin with the size of whoever started us
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000_000  # bytes on macOS


def main() -> int:
    """Close the day that is named, and tell what it cost."""
    import django

    django.setup()
    from django.utils import timezone

    from ledger.closing import daily_close

    before, began, cpu = peak_memory(), time.perf_counter(), time.process_time()
    closed = daily_close.close_day(date.fromisoformat(sys.argv[1]), now=timezone.now())
    told = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "before": before,
        "peak": peak_memory(),
        "differences": closed.differences,
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
