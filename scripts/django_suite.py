#!/usr/bin/env python3
"""Run Django's own tests on our database backend: `make django-suite`, `make django-suite LABELS="queries basic"`.

They come from Django's source distribution of the installed version, whose fingerprint `requirements.txt`
pins, and stay in `.venv/django-suite`. All labels run but GIS's, PostgreSQL's and those of a single engine
(`backends.sqlite`, …). Small labels share a process; free processes take what is expected to last longest
first. Exit status: 0 all as expected; 1 a failure, an unexpected success, a crash, or a label without tests;
2 wrong arguments.
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

LEFT_OUT = {
    "gis_tests",  # needs a spatial database
    "postgres_tests",
    "import_error_package",  # these two are no tests but material of other tests; Django's runner skips them too
    "test_runner_apps",
}
# `backends` is run by its parts, without those of a single engine
BACKENDS = ("backends.base", "backends.tests", "backends.test_utils", "backends.test_ddl_references")
WITHOUT_TESTS = {
    "base",
    "custom_migration_operations",
    "migrations2",
}  # material of other labels; they are imported
ALIASES = ("default", "other")
QUIET = 400  # seconds without a word from a process before it counts as hung
TOGETHER = 12.0  # seconds of expected work that share a process
PER_TEST = 0.04  # seconds, where nothing was measured yet
GOOD = ("passed", "skipped", "expected failure")
BAD = ("failed", "error", "unexpected success", "crashed", "no tests")


class Unready(Exception):
    """The suite can not be run; the message says why."""


def fetch() -> None:
    """Fetch and unpack Django's source distribution, unless it is there.

    Raises:
        Unready: when it can not be had, or is not the pinned one.
    """
    if TESTS.is_dir():
        return
    pinned = re.search(
        rf"^django=={re.escape(django.__version__)} \\\n((?:\s+--hash=\S+.*\n)+)",
        (ROOT / "requirements.txt").read_text(),
        re.MULTILINE,
    )
    if pinned is None:
        raise Unready(
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
            said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise Unready(f"Django's source distribution could not be fetched (no network?): {said}")
        if hashlib.sha256(archive.read_bytes()).hexdigest() not in hashes:
            raise Unready(
                "Django's source distribution has another fingerprint than the pinned one: it is refused"
            )
        with tarfile.open(archive) as content:
            content.extractall(folder / "unpacked", filter="data")
        # one step, so that a run beside this one sees all of it or nothing
        with contextlib.suppress(OSError):
            (folder / "unpacked" / SOURCE.name).rename(SOURCE)
    if not TESTS.is_dir():
        raise Unready("Django's source distribution holds no tests where they are expected")


def all_labels() -> list[str]:
    """Return the labels that are run when none is named."""
    packages = {folder.parent.name for folder in TESTS.glob("*/__init__.py")}
    return sorted(packages - LEFT_OUT - {"backends"}) + list(BACKENDS)


def wanted(labels: Sequence[str]) -> list[str]:
    """Check the labels that were named, and take `backends` apart."""
    known = {label.split(".")[0] for label in all_labels()}
    for label in labels:
        if label.split(".")[0] not in known:
            raise Unready(f"Django has no tests named {label!r}, or they are not for this backend")
    return [part for label in labels for part in (BACKENDS if label == "backends" else (label,))]


@dataclasses.dataclass
class Report:
    """What became of one label."""

    outcomes: Counter[str] = dataclasses.field(default_factory=Counter)
    complaints: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether all is as expected."""
        return not any(self.outcomes[bad] for bad in BAD)

    def add(self, outcome: str, test: str, reason: str) -> None:
        """Count an outcome, and keep what is said about a bad one."""
        self.outcomes[outcome] += 1
        if outcome in BAD:
            self.complaints.append(f"{outcome.upper()} {test}: {' '.join(reason.split())[:300]}")

    def __str__(self) -> str:
        return (
            ", ".join(f"{self.outcomes[one]} {one}" for one in BAD + GOOD if self.outcomes[one]) or "nothing"
        )


class Durations:
    """How long each label is expected to take, from the runs before."""

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
        return PER_TEST * (
            sum(len(re.findall(r"^    (?:async )?def test", text, re.M)) for text in texts) or 1
        )

    def learn(self, reports: dict[str, Report]) -> None:
        """Remember what was measured of whole labels that ran through."""
        self.known |= {
            label: round(report.seconds, 2)
            for label, report in reports.items()
            if label in all_labels() and not report.outcomes["crashed"]
        }
        self.file.write_text(json.dumps(self.known, indent=0, sort_keys=True))


def chunks(labels: Sequence[str], durations: Durations) -> list[list[str]]:
    """Put small labels together, so that each process has some work; the longest come first."""
    ordered = sorted(labels, key=lambda label: (-durations[label], label))
    made: list[list[str]] = []
    room = 0.0
    for label in ordered:
        if durations[label] > room:
            made.append([])
            room = TOGETHER
        made[-1].append(label)
        room -= durations[label]
    return made


@contextlib.contextmanager
def databases(backend: str, shard: int) -> Iterator[dict[str, Any]]:
    """Give Django's two databases on an engine of the shard's own."""
    if backend == "sqlite":
        yield {alias: {"ENGINE": "django.db.backends.sqlite3"} for alias in ALIASES}
        return
    # the configured databases do not even exist: whoever forgets that tests have their own finds nothing to
    # spoil
    names = {alias: f"{alias}_{shard}" for alias in ALIASES}
    # Django's tests of the test runner make a test database of the test database
    bound = [f"{prefix}{name}" for name in names.values() for prefix in ("test_", "test_test_")]
    with temporary_engine(bound) as engine:
        yield {
            alias: database(engine.url(name), gateway_secret=engine.secret, api_token="")
            for alias, name in names.items()
        }


class Lines:
    """The lines of `kikaku/d1/testing/django_suite_runner.py` from one process, read while they come."""

    def __init__(self, file: Path, labels: Sequence[str]) -> None:
        self.file = file
        self.labels = labels
        self.position = 0
        self.heard = time.monotonic()
        self.found: dict[str, Counter[str]] = {}  # the tests of each label
        self.ended: Counter[str] = Counter()
        self.outcomes: dict[str, str] = {}
        self.running: str | None = None
        self.done = False
        self.reports: dict[str, Report] = {label: Report() for label in labels}
        self._skipped: list[str] = []  # classes and modules as a whole

    def read(self) -> None:
        """Take in the lines that came since the last time."""
        with contextlib.suppress(FileNotFoundError), self.file.open("rb") as file:
            file.seek(self.position)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the rest of it comes next time
                self.position += len(line)
                self.heard = time.monotonic()
                self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
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
            report.complaints.append(f"skipped {test}: {line['reason']}")

    def _around(self, line: dict[str, Any]) -> None:
        """Take in what happened outside of a test's own time: its set-up, the flush after it, or a whole class."""
        test, outcome = line["id"], line["outcome"]
        known = self.outcomes.get(test)
        if any(test in tests for tests in self.found.values()):
            if known in BAD:
                return  # the aftermath
            if known is None:
                self.ended[test] += 1
            else:
                self._report(test).outcomes[known] -= 1
            self.outcomes[test] = outcome
            self._report(test).add(outcome, test, line["reason"])
            return
        name = re.sub(r".*\((.*)\)$", r"\1", test)  # for example setUpClass (basic.tests.ModelTest)
        if outcome == "skipped":
            self._skipped.append(name)
        else:
            self._report(name).add(outcome, test, line["reason"])

    def _label(self, test: str) -> str:
        """Tell which label a test belongs to; modules that can not be imported have a name before their own."""
        name = re.sub(r"^unittest\.loader\.\w+\.", "", test)
        fitting = [label for label in self.labels if f"{name}.".startswith(f"{label}.")]
        return max(fitting, key=len) if fitting else name.split(".")[0]

    def _report(self, test: str) -> Report:
        return self.reports.setdefault(self._label(test), Report())

    def conclude(self, failfast: bool) -> None:
        """Account for the tests that were found and never ended."""
        for label, tests in self.found.items():
            for test in (tests - self.ended).elements():
                if any(test.startswith(f"{around}.") for around in self._skipped):
                    self._report(test).outcomes["skipped"] += 1
                elif self.done and not (
                    failfast and any(not report.good for report in self.reports.values())
                ):
                    self._report(test).add("error", test, "did not run")
            if label not in self.reports:
                self.reports[label] = Report()
        for label in self.labels:
            if self.done and not self.found.get(label) and label not in WITHOUT_TESTS:
                self.reports[label].add(
                    "no tests", label, "this label is known to have tests, and none were found"
                )


class Suite:
    """One run: labels that wait, processes that take them, and what came of it."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.durations = Durations(options.backend)
        self.labels = wanted(options.labels) or all_labels()
        self.waiting = chunks(self.labels, self.durations)
        self.reports: dict[str, Report] = {}
        self.troubles: list[str] = []  # of shards, not of a label
        self.began = time.monotonic()
        self._runs = 0
        self._over = False
        self._lock = threading.Lock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self) -> bool:
        """Run everything; return whether all was as expected."""
        say(
            f"Django {django.__version__}'s own tests on {self.options.backend}: {len(self.labels)} labels in "
            f"{len(self.waiting)} processes, {self.options.shards} at once. Logs: {self.folder.relative_to(ROOT)}"
        )
        numbers = range(1, self.options.shards + 1)
        threads = [threading.Thread(target=self._shard, args=(number,)) for number in numbers]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:  # nothing that was started stays behind, not even after a second Ctrl-C
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._over = True
            for pid in list(self._processes):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
            raise
        self.durations.learn(self.reports)
        return self._conclude()

    def _shard(self, number: int) -> None:
        """Take labels until none wait, all on one engine."""
        try:
            with databases(self.options.backend, number) as given:
                while taken := self._take():
                    self._note(self._process(*taken, given))
        except EngineUnavailable as error:
            self.troubles.append(f"There is no D1: {error}.")
        except Exception as error:
            self.troubles.append(f"Shard {number} ended early: {type(error).__name__}: {error}")

    def _take(self) -> tuple[int, list[str]] | None:
        with self._lock:
            if self._over or not self.waiting:
                return None
            self._runs += 1
            return self._runs, self.waiting.pop(0)

    def _process(self, run: int, labels: list[str], given: dict[str, Any]) -> Lines:
        """Run Django's `runtests.py` for some labels, and wait for its end."""
        folder = self.folder / f"{run:03}-{labels[0]}"
        (folder / "tmp").mkdir(parents=True)
        lines = Lines(folder / "results", labels)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
            "DJANGO_SUITE_DATABASES": json.dumps(given),
            "DJANGO_SUITE_RESULTS": str(lines.file),
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
                start_new_session=True,  # so that its children can be ended with it
            )
        self._processes[process.pid] = process
        while process.poll() is None:
            time.sleep(0.1)
            lines.read()
            if time.monotonic() - lines.heard > QUIET:
                os.killpg(process.pid, signal.SIGKILL)
        del self._processes[process.pid]
        lines.read()
        lines.conclude(self.options.failfast)
        shutil.rmtree(folder / "tmp", ignore_errors=True)
        return lines

    def _note(self, lines: Lines) -> None:
        """Take over what a process found out, and say it. After a crash its labels run again, each alone."""
        if self._over:
            return
        with self._lock:
            if not lines.done:
                if len(lines.labels) > 1:
                    say(
                        f"A process with {len(lines.labels)} labels crashed, at {lines.running or 'its start'}: each runs alone"
                    )
                    self.waiting[:0] = [[label] for label in lines.labels]
                    return
                log = lines.file.with_name("log").read_text(errors="replace").strip().splitlines()
                lines.reports[lines.labels[0]].add(
                    "crashed", lines.running or lines.labels[0], (log or [""])[-1]
                )
            for label, report in lines.reports.items():
                self.reports[label] = report
                say(
                    f"{len(self.reports):4}/{len(self.labels)} {self._clock()}  {label}: {report}  ({report.seconds:.0f} s)"
                )
                for complaint in report.complaints:
                    say(f"      {complaint}")
                if not report.good and self.options.failfast:
                    self._over = True

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{minutes:2}:{seconds:02}"

    def _conclude(self) -> bool:
        """Say what came of it all."""
        total = Report()
        for report in self.reports.values():
            total.outcomes += report.outcomes
        bad = {label: report for label, report in sorted(self.reports.items()) if not report.good}
        if bad:
            say("\nNot as expected:")
            for label, report in bad.items():
                say(f"  {label}: {report}")
        for trouble in self.troubles:
            say(trouble)
        if missing := [label for label in self.labels if label not in self.reports]:
            say(f"Not run: {' '.join(missing)}")
        say(
            f"\n{total.outcomes.total():,} tests on {self.options.backend} in {self._clock().strip()}: {total}"
        )
        return not (bad or self.troubles or missing)


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> int:
    """Fetch the tests, run them, and clean up when all is well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "labels", nargs="*", help="as for runtests.py: queries, schema.tests.SchemaTests, …; all by default"
    )
    parser.add_argument(
        "--backend", choices=("d1", "sqlite"), default="d1", help="sqlite: Django's own, to compare"
    )
    parser.add_argument("--shards", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--failfast", action="store_true", help="end at the first failure")
    parser.add_argument("--keep", action="store_true", help="keep the logs when all is well, too")
    options = parser.parse_args()
    if options.shards < 1:
        parser.error("--shards must be 1 or more")
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C: nothing that was started stays behind
    try:
        fetch()
        folder = Path(tempfile.mkdtemp(prefix=f"run-{options.backend}-", dir=CACHE))
        good = Suite(options, folder).run()
    except Unready as error:
        print(f"Django's tests can not run: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if good and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
