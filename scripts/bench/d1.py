"""D1 beside SQLite: round trips and time of frequent acts, in turns, on Cloudflare's engine on this machine.

python -m bench.d1      does acts of `ops/testing/acts.py` on one database; reads their numbers from its input
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from d1 import temporary_engine

from bench.caches import turn_off, turned_off
from bench.report import Figure
from bench.server import ServerFailed


class Shop:
    """A process with the shop on one database."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        self._log = folder / "log"
        own = {"BENCH_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "bench.d1_settings"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.d1"],
                env={**os.environ, **own, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, number: int | None = None) -> Any:
        """Return what an act took that it did once; without a number, the list of its acts."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            if number is not None:
                print(number, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise ServerFailed(f"a shop of the bench ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        return json.loads(line)

    def end(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.communicate()


def measure(folder: Path, *, rounds: int, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Yield what each act took on both databases, by the median of `rounds`.

    Raises `ServerFailed`, and `EngineUnavailable` where there is no engine.
    """
    with temporary_engine(["bench"]) as engine, contextlib.ExitStack() as stack:
        databases = {
            "d1": engine.environment("bench"),
            "sqlite": {"DATABASE_URL": f"sqlite:///{folder / 'beside-d1.sqlite3'}"},
        }
        shops = {}
        for name, environment in databases.items():
            progress(f"d1: a shop on {name}")
            shops[name] = Shop(folder / name, environment)
            stack.callback(shops[name].end)
            acts = shops[name].run()
        for number, act in enumerate(acts):
            progress(f"d1: {act['name']}")
            answers: dict[str, list[Any]] = {name: [] for name in shops}
            for _round in range(rounds + 1):
                for name, shop in shops.items():
                    answers[name].append(shop.run(number))
            # the first of each warms up
            seconds = {name: median(one["seconds"] for one in all_[1:]) for name, all_ in answers.items()}
            note = (
                f"{_milliseconds(seconds['d1'])} ms on D1 {_milliseconds(seconds['sqlite'])} ms on SQLite "
                f"{seconds['d1'] / seconds['sqlite']:6.1f} ×"
            )
            trips = max(one["round_trips"] for one in answers["d1"][1:])
            yield Figure(act["name"], trips, "round trips", act["goal"], note)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:8.{1 if seconds >= 0.001 else 2}f}"


def main() -> None:
    """Do the acts whose numbers come in, and write what each took as a line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output goes into the log
    import django

    django.setup()
    from django.core.management import call_command

    turn_off(turned_off())
    call_command("migrate", interactive=False, verbosity=0)
    from kikaku.sandbox import adapter
    from ledger.testing.company import ensure_tax_status
    from ops.testing.acts import Acts, round_trips

    ensure_tax_status()

    acts = Acts(adapter.sandbox()).all()
    print(json.dumps([{"name": act.name, "goal": act.goal} for act in acts]), file=answers, flush=True)
    for line in sys.stdin:
        act = acts[int(line)].prepare()
        before, began = round_trips(), time.perf_counter()
        act()
        seconds, after = time.perf_counter() - began, round_trips()
        trips = None if before is None or after is None else after - before
        print(json.dumps({"seconds": seconds, "round_trips": trips}), file=answers, flush=True)


if __name__ == "__main__":
    main()
