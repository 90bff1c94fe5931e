"""Time and memory of the close of a day, in a process of its own; the Stripe stand-in runs in another.

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

GOAL_PAYMENTS = 100_000  # the goals are for a day of this size
GOAL_SECONDS, GOAL_MEGABYTES = 60.0, 300.0


def measure(folder: Path, *, payments: int, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Fill yesterday with `payments` payments and close it; `ServerFailed` if the close fails."""
    from django.utils import timezone

    from kikaku.days import yesterday
    from kikaku.sandbox import adapter
    from ledger.testing import busy_day

    day = yesterday(timezone.now())
    busy_day.fill(adapter.sandbox(), day, payments=payments, say=lambda text: progress(f"close: {text}"))
    adapter.sandbox().close()
    port = free_port()
    stand_in = [sys.executable, "manage.py", "stripe_sandbox", "--port", str(port)]
    with running(stand_in, port, log=folder / "stripe.log"):
        progress(f"close: closing {day}")
        closing = subprocess.run(
            [sys.executable, "-m", "bench.close", day.isoformat()],
            env={**environment(free_port()), "STRIPE_API_BASE": f"http://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
        )
    if closing.returncode:
        raise ServerFailed(f"the close failed:\n{closing.stderr[-2000:]}")
    result = json.loads(closing.stdout.splitlines()[-1])
    name = f"day of {payments:,} payments"
    is_goal_size = payments >= GOAL_PAYMENTS
    goal = "" if is_goal_size else f"; goal for {GOAL_PAYMENTS:,} (--day {GOAL_PAYMENTS}): "
    note = f"{result['cpu']:.1f} s of its own processor time; {result['differences']} differences"
    note += f"{goal}{GOAL_SECONDS:.0f} s" if goal else ""
    yield Figure(f"{name}, time", result["seconds"], "s", GOAL_SECONDS if is_goal_size else None, note)
    note = f"{result['before']:.0f} MB before it began" + (f"{goal}{GOAL_MEGABYTES:.0f} MB" if goal else "")
    yield Figure(f"{name}, peak memory", result["peak"], "MB", GOAL_MEGABYTES if is_goal_size else None, note)


def peak_memory() -> float:
    """Return the largest resident size of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where ru_maxrss starts with the size of the parent process
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000_000  # bytes on macOS


def main() -> int:
    """Close the day in the first argument and print what it cost."""
    import django

    django.setup()
    from django.utils import timezone

    from ledger.closing import daily_close

    before, began, cpu = peak_memory(), time.perf_counter(), time.process_time()
    closed = daily_close.close_day(date.fromisoformat(sys.argv[1]), now=timezone.now())
    result = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "before": before,
        "peak": peak_memory(),
        "differences": closed.differences,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
