#!/usr/bin/env python3
"""Check thousands of random histories: `make soak`, `make soak COUNT=500 SEED=17 JOBS=2 SLOTS=40`.

Without a SEED, all tests of `ledger/tests/crashes` run first. A seed stands for a batch of fifty histories
and reproduces them. A batch ends at its first failing history; the shortened history is printed with the
command that repeats it. Exit status: 0 all passed, 1 some failed, 2 wrong arguments.
"""

import argparse
import atexit
import contextlib
import multiprocessing
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

BATCH_SIZE = 50  # histories of a seed
MAX_FAILED_BATCHES = 3  # shrinking is slow, and failing batches usually have the same cause
_worker_resources = contextlib.ExitStack()  # closed when the worker ends
_template_folder: Path  # of the worker's worlds


@dataclass(frozen=True)
class Batch:
    """Histories of one seed."""

    seed: int
    count: int
    max_actions: int


def prepare(folder: str) -> None:
    """Set up Django with a database of its own, once in each worker."""
    atexit.register(_worker_resources.close)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "kikaku.settings",
        "ENVIRONMENT": "development",
        "DATABASE_URL": f"sqlite:///{folder}/{os.getpid()}.sqlite3",
        "STRIPE_SECRET_KEY": "",
        "STRIPE_API_BASE": "",
        "TMPDIR": folder,
    }
    import django

    django.setup()
    import logging

    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    logging.disable(logging.CRITICAL)  # histories consist of refusals and crashes

    from ledger.testing.histories.world import prepared_template

    global _template_folder
    _template_folder = _worker_resources.enter_context(prepared_template())


def check_batch(batch: Batch) -> tuple[Batch, str]:
    """Check a batch; return it with its first failing history, shortened, or an empty text."""
    from ledger.testing.histories.runner import HistoryFailed, check_random_histories

    def report(failure: str) -> None:
        print(f"Seed {batch.seed} failed, shortening the history: {failure[:300]}", flush=True)

    try:
        check_random_histories(
            _template_folder,
            max_actions=batch.max_actions,
            count=batch.count,
            seed_number=batch.seed,
            on_failure=report,
        )
    except HistoryFailed as failure:
        return batch, str(failure)
    return batch, ""


def read_number(name: str, default: int) -> int:
    """Return a positive number from the environment. Exit with 2 for any other value."""
    text = os.environ.get(name, "") or str(default)
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        print(f"{name} must be a whole number above 0, not {text!r}.", file=sys.stderr)
        raise SystemExit(2)
    return int(text)


def run_crash_tests() -> bool:
    """Run all tests of crashes, the nightly ones included; return whether they passed."""
    command = [sys.executable, "-m", "pytest", "-q", "ledger/tests/crashes"]
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "KIKAKU_NIGHTLY": "1"}) == 0


def main() -> int:
    """Run the tests of crashes unless a seed is given, then check the batches in parallel."""
    description = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=description).parse_args()
    count, jobs, max_actions = (
        read_number("COUNT", 10_000),
        read_number("JOBS", os.cpu_count() or 1),
        read_number("SLOTS", 30),
    )
    first = read_number("SEED", 1 + secrets.randbelow(1_000_000_000))
    batches = [
        Batch(first + index, min(BATCH_SIZE, count - start), max_actions)
        for index, start in enumerate(range(0, count, BATCH_SIZE))
    ]
    print(f"{count:,} histories, seeds {first} to {batches[-1].seed}, {jobs} at once", flush=True)
    passed = bool(os.environ.get("SEED")) or run_crash_tests()
    started, done, failed = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(jobs, len(batches)), prepare, (folder,)) as pool:
            for batch, failure in pool.imap_unordered(check_batch, batches):
                done += batch.count
                if failure:
                    failed += 1
                    repeat = f"make soak SEED={batch.seed} COUNT={batch.count} SLOTS={max_actions}"
                    print(f"\n{failure}\nRepeat it: {repeat}")
                rate = done / (time.monotonic() - started)
                minutes_left = (count - done) / rate / 60
                print(
                    f"{done:,}/{count:,} histories, {rate:.1f} a second, {minutes_left:.0f} minutes left"
                    + (f", {failed} batches failed" if failed else ""),
                    flush=True,
                )
                if failed == MAX_FAILED_BATCHES:
                    print(f"Stopped after {failed} failed batches.")
                    break
    if failed == 0:
        print(f"All {count:,} histories passed.")
    return 0 if passed and failed == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
