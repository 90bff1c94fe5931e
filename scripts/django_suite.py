#!/usr/bin/env python3
"""Run Django's own tests on the D1 backend: `make django-suite`, `make django-suite LABELS="queries basic"`.

The tests come from Django's source distribution of the installed version, whose hash `requirements.txt` pins,
and are cached in `.venv/django-suite`. All labels run except GIS's, PostgreSQL's and those of another engine
(`backends.oracle`, …). Small labels share a process; free processes take the labels with the longest expected
duration first. Exit status: 0 all as expected; 1 a failure, an unexpected success, a crash, or a label
without tests; 2 wrong arguments.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import django
from d1 import EngineUnavailable, temporary_engine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kikaku.d1.address import database  # noqa: E402
from kikaku.d1.testing.django_suite_runner import AS_MEASURE, AS_ROOT  # noqa: E402

CACHE = ROOT / ".venv" / "django-suite"
SOURCE = CACHE / f"django-{django.__version__}"
TESTS = SOURCE / "tests"

EXCLUDED = {
    "gis_tests",  # needs a spatial database
    "postgres_tests",
    "import_error_package",  # data of other tests, which Django's runner skips too
    "test_runner_apps",  # the same
}
# `backends` runs as these parts, without those of engines that are not SQLite
BACKENDS = (
    "backends.base",
    "backends.sqlite",
    "backends.tests",
    "backends.test_utils",
    "backends.test_ddl_references",
)
WITHOUT_TESTS = {"base", "custom_migration_operations", "migrations2"}  # data of other labels
ALIASES = ("default", "other")
HANG_TIMEOUT = 400  # seconds without output of a process
CHUNK_SECONDS = 12.0  # expected duration of labels that share a process
DEFAULT_TEST_SECONDS = 0.04  # for labels without a measurement
GOOD = ("passed", "skipped", "expected failure")
BAD = ("failed", "error", "unexpected success", "crashed", "no tests")


class SuiteUnavailable(Exception):
    """The suite cannot run; the message is the reason."""


def fetch() -> None:
    """Download and unpack Django's source distribution, unless it is cached.

    Raises:
        SuiteUnavailable: it cannot be downloaded, or has another hash than the pinned one.
    """
    if TESTS.is_dir():
        return
    pinned = re.search(
        rf"^django=={re.escape(django.__version__)} \\\n((?:\s+--hash=\S+.*\n)+)",
        (ROOT / "requirements.txt").read_text(),
        re.MULTILINE,
    )
    if pinned is None:
        raise SuiteUnavailable(
            f"requirements.txt does not pin the installed Django {django.__version__}: run make once"
        )
    hashes = re.findall(r"sha256:([0-9a-f]{64})", pinned[1])
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        print(f"Fetching the source of Django {django.__version__} …", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            + ["--no-binary", ":all:", "--dest", name, f"django=={django.__version__}"],
            capture_output=True,
            text=True,
        )
        archive = next(folder.glob("*.tar.gz"), None)
        if done.returncode or archive is None:
            message = (done.stderr.strip().splitlines() or ["no output of pip"])[-1]
            raise SuiteUnavailable(
                f"Django's source distribution could not be fetched (no network?): {message}"
            )
        if hashlib.sha256(archive.read_bytes()).hexdigest() not in hashes:
            raise SuiteUnavailable(
                "Django's source distribution has another hash than the pinned one: it is refused"
            )
        with tarfile.open(archive) as content:
            content.extractall(folder / "unpacked", filter="data")
        # one step, so that a concurrent run sees all of it or nothing
        with contextlib.suppress(OSError):
            (folder / "unpacked" / SOURCE.name).rename(SOURCE)
    if not TESTS.is_dir():
        raise SuiteUnavailable("Django's source distribution has no tests where they are expected")


def all_labels() -> list[str]:
    """Return the labels that run by default."""
    packages = {folder.parent.name for folder in TESTS.glob("*/__init__.py")}
    return sorted(packages - EXCLUDED - {"backends"}) + list(BACKENDS)


def checked_labels(labels: Sequence[str]) -> list[str]:
    """Return the given labels, with `backends` as its parts. Raises `SuiteUnavailable` for an unknown one."""
    known = {label.split(".")[0] for label in all_labels()}
    for label in labels:
        if label.split(".")[0] not in known:
            raise SuiteUnavailable(f"Django has no tests named {label!r}, or they are not for this backend")
    return [part for label in labels for part in (BACKENDS if label == "backends" else (label,))]


@dataclasses.dataclass
class Report:
    """The outcomes of one label."""

    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    messages: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Return whether all outcomes are as expected."""
        return not any(self.outcomes[bad] for bad in BAD)

    def add(self, outcome: str, test: str, reason: str) -> None:
        """Count an outcome, and keep the message of a bad one."""
        self.outcomes[outcome] += 1
        if outcome in BAD:
            self.messages.append(f"{outcome.upper()} {test}: {' '.join(reason.split())[:300]}")

    def __str__(self) -> str:
        return (
            ", ".join(f"{self.outcomes[one]} {one}" for one in BAD + GOOD if self.outcomes[one]) or "nothing"
        )


class Durations:
    """The expected duration of each label, from earlier runs."""

    def __init__(self, backend: str) -> None:
        self.file = CACHE / f"durations-{backend}.json"
        self.known: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError):
            self.known = json.loads(self.file.read_text())

    def __getitem__(self, label: str) -> float:
        if label in self.known:
            return self.known[label]
        path = TESTS.joinpath(*label.split("."))
        files = path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
        texts = (file.read_text(errors="replace") for file in files if file.is_file())
        return DEFAULT_TEST_SECONDS * (
            sum(len(re.findall(r"^    (?:async )?def test", text, re.M)) for text in texts) or 1
        )

    def record(self, reports: dict[str, Report]) -> None:
        """Store the durations of labels that ran completely."""
        self.known |= {
            label: round(report.seconds, 2)
            for label, report in reports.items()
            if label in all_labels() and not report.outcomes["crashed"]
        }
        self.file.write_text(json.dumps(self.known, indent=0, sort_keys=True))


def chunks(labels: Sequence[str], durations: Durations) -> list[list[str]]:
    """Return groups of labels, one for each process: small labels together, the longest first."""
    ordered = sorted(labels, key=lambda label: (-durations[label], label))
    groups: list[list[str]] = []
    remaining = 0.0
    for label in ordered:
        if durations[label] > remaining:
            groups.append([])
            remaining = CHUNK_SECONDS
        groups[-1].append(label)
        remaining -= durations[label]
    return groups


@contextlib.contextmanager
def databases(backend: str, shard: int) -> Iterator[dict[str, Any]]:
    """Run an engine for a shard, and yield Django's two databases on it."""
    if backend == "sqlite":
        yield {alias: {"ENGINE": "django.db.backends.sqlite3"} for alias in ALIASES}
        return
    # the configured databases do not exist, so a test that uses one instead of its test database fails
    names = {alias: f"{alias}_{shard}" for alias in ALIASES}
    # Django's tests of the test runner create a test database of the test database
    bound = [f"{prefix}{name}" for name in names.values() for prefix in ("test_", "test_test_")]
    with temporary_engine(bound) as engine:
        yield {
            alias: database(engine.url(name), gateway_secret=engine.secret, api_token="")
            for alias, name in names.items()
        }


class Progress:
    """The events of one process (`kikaku/d1/testing/django_suite_runner.py`), read while it runs."""

    def __init__(self, file: Path, labels: Sequence[str]) -> None:
        self.file = file
        self.labels = labels
        self.position = 0
        self.last_event = time.monotonic()
        self.found: dict[str, Counter[str]] = {}  # the tests of each label
        self.ended: Counter[str] = Counter()
        self.outcomes: dict[str, str] = {}
        self.running: str | None = None
        self.done = False
        self.reports: dict[str, Report] = {label: Report() for label in labels}
        self._skipped: list[str] = []  # whole classes and modules

    def read(self) -> None:
        """Process the lines that were written since the last call."""
        with contextlib.suppress(FileNotFoundError), self.file.open("rb") as file:
            file.seek(self.position)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # incomplete
                self.position += len(line)
                self.last_event = time.monotonic()
                self._process_event(json.loads(line))

    def _process_event(self, line: dict[str, Any]) -> None:
        if line["event"] == "found":
            for test in line["ids"]:
                self.found.setdefault(self._label(test), Counter())[test] += 1
        elif line["event"] == "began":
            self.running = line["id"]
        elif line["event"] == "ended":
            self.running = None
            self._end(line)
        elif line["event"] == "around":
            self._around(line)
        else:
            self.done = True

    def _end(self, line: dict[str, Any]) -> None:
        test, outcome = line["id"], line["outcome"]
        self.ended[test] += 1
        self.outcomes[test] = outcome
        report = self._report(test)
        report.seconds += line["seconds"]
        report.add(outcome, test, line["reason"])
        if line["reason"] in (AS_ROOT, AS_MEASURE):
            report.messages.append(f"skipped {test}: {line['reason']}")

    def _around(self, line: dict[str, Any]) -> None:
        """Process an outcome outside of a test: of its set-up, the flush after it, or a whole class."""
        test, outcome = line["id"], line["outcome"]
        known = self.outcomes.get(test)
        if any(test in tests for tests in self.found.values()):
            if known in BAD:
                return  # a consequence
            if known is None:
                self.ended[test] += 1
            else:
                self._report(test).outcomes[known] -= 1
            self.outcomes[test] = outcome
            self._report(test).add(outcome, test, line["reason"])
            return
        name = re.sub(r".*\((.*)\)$", r"\1", test)  # as in setUpClass (basic.tests.ModelTest)
        if outcome == "skipped":
            self._skipped.append(name)
        else:
            self._report(name).add(outcome, test, line["reason"])

    def _label(self, test: str) -> str:
        """Return the label of a test; a module that cannot be imported has a prefix."""
        name = re.sub(r"^unittest\.loader\.\w+\.", "", test)
        matching = [label for label in self.labels if f"{name}.".startswith(f"{label}.")]
        return max(matching, key=len) if matching else name.split(".")[0]

    def _report(self, test: str) -> Report:
        return self.reports.setdefault(self._label(test), Report())

    def conclude(self, failfast: bool) -> None:
        """Add the outcomes of tests that were found and did not end."""
        for label, tests in self.found.items():
            for test in (tests - self.ended).elements():
                if any(test.startswith(f"{group}.") for group in self._skipped):
                    self._report(test).outcomes["skipped"] += 1
                elif self.done and not (
                    failfast and any(not report.is_good for report in self.reports.values())
                ):
                    self._report(test).add("error", test, "did not run")
            if label not in self.reports:
                self.reports[label] = Report()
        for label in self.labels:
            if self.done and not self.found.get(label) and label not in WITHOUT_TESTS:
                self.reports[label].add("no tests", label, "this label has tests, but none were found")


class Suite:
    """One run: the labels to run, the processes that run them, and their reports."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.durations = Durations(options.backend)
        self.labels = checked_labels(options.labels) or all_labels()
        self.waiting = chunks(self.labels, self.durations)
        self.reports: dict[str, Report] = {}
        self.troubles: list[str] = []  # errors of shards
        self.began = time.monotonic()
        self._runs = 0
        self._over = False
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> bool:
        """Run all labels, and return whether all outcomes are as expected."""
        echo(
            f"Django {django.__version__}'s own tests on {self.options.backend}: {len(self.labels)} labels "
            f"in {len(self.waiting)} processes, {self.options.shards} at once. "
            f"Logs: {self.folder.relative_to(ROOT)}"
        )
        numbers = range(1, self.options.shards + 1)
        threads = [threading.Thread(target=self._shard, args=(number,)) for number in numbers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:  # kill all processes, also after a second Ctrl-C
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._over = True
            for pid in list(self._processes):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
            raise
        self.durations.record(self.reports)
        return self._conclude()

    def _shard(self, number: int) -> None:
        """Run groups of labels until none are left, all on one engine."""
        try:
            with databases(self.options.backend, number) as configured:
                while group := self._next_group():
                    self._report_group(self._run_group(*group, configured))
        except EngineUnavailable as error:
            self.troubles.append(f"There is no D1: {error}.")
        except Exception as error:
            self.troubles.append(f"Shard {number} ended early: {type(error).__name__}: {error}")

    def _next_group(self) -> tuple[int, list[str]] | None:
        with self._lock:
            if self._over or not self.waiting:
                return None
            self._runs += 1
            return self._runs, self.waiting.pop(0)

    def _run_group(self, run: int, labels: list[str], configured: dict[str, Any]) -> Progress:
        """Run Django's `runtests.py` for some labels, and wait for its end."""
        folder = self.folder / f"{run:03}-{labels[0]}"
        (folder / "tmp").mkdir(parents=True)
        progress = Progress(folder / "results", labels)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
            "DJANGO_SUITE_DATABASES": json.dumps(configured),
            "DJANGO_SUITE_RESULTS": str(progress.file),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(folder / "tmp"),
        }
        command = [sys.executable, "runtests.py", "--noinput", "--parallel", "1", *labels]
        command += ["--settings", "kikaku.d1.testing.django_suite_settings"]
        command += ["--failfast"] * self.options.failfast
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=TESTS,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its children are killed with it
            )
        self._processes[process.pid] = process
        while process.poll() is None:
            time.sleep(0.1)
            progress.read()
            if time.monotonic() - progress.last_event > HANG_TIMEOUT:
                os.killpg(process.pid, signal.SIGKILL)
        del self._processes[process.pid]
        progress.read()
        progress.conclude(self.options.failfast)
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        return progress

    def _report_group(self, progress: Progress) -> None:
        """Store and print the reports of a process. After a crash its labels run again, each alone."""
        if self._over:
            return
        with self._lock:
            if not progress.done:
                if len(progress.labels) > 1:
                    echo(
                        f"A process with {len(progress.labels)} labels crashed, at "
                        f"{progress.running or 'its start'}: each runs alone"
                    )
                    self.waiting[:0] = [[label] for label in progress.labels]
                    return
                log = progress.file.with_name("log").read_text(errors="replace").strip().splitlines()
                progress.reports[progress.labels[0]].add(
                    "crashed", progress.running or progress.labels[0], (log or [""])[-1]
                )
            for label, report in progress.reports.items():
                self.reports[label] = report
                echo(
                    f"{len(self.reports):4}/{len(self.labels)} {self._clock()}  {label}: {report}"
                    f"  ({report.seconds:.0f} s)"
                )
                for message in report.messages:
                    echo(f"      {message}")
                if not report.is_good and self.options.failfast:
                    self._over = True

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes:2}:{seconds:02}"

    def _conclude(self) -> bool:
        """Print the summary, and return whether all outcomes are as expected."""
        total = Report()
        for report in self.reports.values():
            total.outcomes += report.outcomes
        bad = {label: report for label, report in sorted(self.reports.items()) if not report.is_good}
        if bad:
            echo("\nNot as expected:")
            for label, report in bad.items():
                echo(f"  {label}: {report}")
        for trouble in self.troubles:
            echo(trouble)
        if missing := [label for label in self.labels if label not in self.reports]:
            echo(f"Not run: {' '.join(missing)}")
        echo(
            f"\n{total.outcomes.total():,} tests on {self.options.backend} "
            f"in {self._clock().strip()}: {total}"
        )
        return not (bad or self.troubles or missing)


def echo(text: str) -> None:
    """Print a line immediately."""
    print(text, flush=True)


def main() -> int:
    """Fetch the tests, run them, and remove the logs when all outcomes are as expected."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "labels", nargs="*", help="as for runtests.py: queries, schema.tests.SchemaTests, …; all by default"
    )
    parser.add_argument(
        "--backend", choices=("d1", "sqlite"), default="d1", help="sqlite: Django's own, for comparison"
    )
    parser.add_argument("--shards", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--failfast", action="store_true", help="stop at the first failure")
    parser.add_argument("--keep", action="store_true", help="keep the logs in any case")
    options = parser.parse_args()
    if options.shards < 1:
        parser.error("--shards must be 1 or more")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: kill all processes
    try:
        fetch()
        folder = Path(tempfile.mkdtemp(prefix=f"run-{options.backend}-", dir=CACHE))
        is_good = Suite(options, folder).run()
    except SuiteUnavailable as error:
        print(f"Django's tests cannot run: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if is_good and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    raise SystemExit(main())
