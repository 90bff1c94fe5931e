#!/usr/bin/env python3
"""Live thousands of disordered histories of the shop: `make soak`, `make soak COUNT=500 SEED=17 JOBS=2 SLOTS=40`.

Before them every operation meets every trouble of `ledger/tests/crashes`, unless a SEED is given. A seed stands for a batch of fifty histories, and gives the same ones again. A batch ends at its first failing
history, and prints it, shortened, with the command that repeats it. Exit status: 0 all held, 1 some did not, 2 wrong
arguments.
"""

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

BATCH = 50  # histories of a seed
ENOUGH = 3  # failing batches: shrinking takes its time, and most often they tell of the same
_life = contextlib.ExitStack()  # what a worker holds until its end
_ground: Path  # where its worlds are made


@dataclass(frozen=True)
class Batch:
    """Histories to be lived."""

    seed: int
    count: int
    slots: int


def prepare(folder: str) -> None:
    """Set Django up on a database of this process's own; runs once in each worker."""
    atexit.register(_life.close)
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
    logging.disable(logging.CRITICAL)  # refusals and crashes are what a history is made of

    from ledger.testing.histories.world import ground

    global _ground
    _ground = _life.enter_context(ground())


def live(batch: Batch) -> tuple[Batch, str]:
    """Live a batch; the text tells of the first history that failed, shortened, and is empty when none did."""
    from ledger.testing.histories.runner import Broken, live_many

    def say(failure: str) -> None:
        print(f"Seed {batch.seed} failed, a shorter history is looked for: {failure[:300]}", flush=True)

    try:
        live_many(_ground, slots=batch.slots, count=batch.count, number=batch.seed, on_failure=say)
    except Broken as failure:
        return batch, str(failure)
    return batch, ""


def number(name: str, default: int) -> int:
    """Read a positive number from the environment. Exits with 2 when it is none."""
    text = os.environ.get(name, "") or str(default)
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        print(f"{name} must be a whole number above 0, not {text!r}.", file=sys.stderr)
        raise SystemExit(2)
    return int(text)


def troubles() -> bool:
    """Cut the power at every step of every operation, fill the disk, …: `make test` tries a part of it."""
    command = [sys.executable, "-m", "pytest", "-q", "ledger/tests/crashes"]
    return subprocess.call(command, cwd=ROOT, env={**os.environ, "KIKAKU_NIGHTLY": "1"}) == 0


def main() -> int:
    """Try the troubles, unless a seed is asked for; then share the batches among the processors and say how it goes."""
    count, jobs, slots = number("COUNT", 10_000), number("JOBS", os.cpu_count() or 1), number("SLOTS", 30)
    first = number("SEED", 1 + secrets.randbelow(1_000_000_000))
    batches = [
        Batch(first + index, min(BATCH, count - start), slots)
        for index, start in enumerate(range(0, count, BATCH))
    ]
    print(f"{count:,} histories, seeds {first} to {batches[-1].seed}, {jobs} at once", flush=True)
    held = bool(os.environ.get("SEED")) or troubles()
    started, done, failed = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(jobs, len(batches)), prepare, (folder,)) as pool:
            for batch, failure in pool.imap_unordered(live, batches):
                done += batch.count
                if failure:
                    failed += 1
                    print(
                        f"\n{failure}\nRepeat it: make soak SEED={batch.seed} COUNT={batch.count} SLOTS={slots}"
                    )
                rate = done / (time.monotonic() - started)
                print(
                    f"{done:,}/{count:,} histories, {rate:.1f} a second, {(count - done) / rate / 60:.0f} minutes left"
                    + (f", {failed} batches failed" if failed else ""),
                    flush=True,
                )
                if failed == ENOUGH:
                    print("Enough failed; the rest was not lived.")
                    break
    if failed == 0:
        print(f"All {count:,} histories held.")
    return 0 if held and failed == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
