"""The test runner for Django's own tests: writes one line of JSON for each event.

A harness reads the lines while the tests run: which tests were found, which began, how each ended, and the
end.
"""

import json
import os
import time
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner

# the worst outcome of a test and its subtests is its outcome
OUTCOMES = ("error", "failed", "unexpected success", "expected failure", "passed", "skipped")
MAX_REASON = 600  # characters of an error that are reported; the log has all
AS_ROOT = "root may read and write files of any mode, so there is no error to handle"
AS_MEASURE = "measures seconds while other tests use the processors"
# tests that do not concern a database, and fail where the suite runs
SKIPPED_TESTS = {
    "file_uploads.tests.DirectoryCreationTests.test_readonly_root": AS_ROOT,
    "i18n.test_compilation.PoFileTests.test_no_write_access": AS_ROOT,
    "template_tests.test_loaders.FileSystemLoaderTests.test_permissions_error": AS_ROOT,
    "serializers.test_deserialization.TestDeserializer.test_crafted_xml_performance": AS_MEASURE,
}


def write(**fields: Any) -> None:
    """Append an event to the file that the harness reads."""
    with Path(os.environ["DJANGO_SUITE_RESULTS"]).open("a") as file:
        file.write(json.dumps(fields) + "\n")


def reason_of(error: Any) -> str:
    """Return the class of an exception and the beginning of its message."""
    kind, value = error[:2]
    return f"{kind.__name__}: {value}"[:MAX_REASON]


class Recorder(unittest.TextTestResult):
    """A test result that also writes the events."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen: list[tuple[str, str]] = []  # (outcome, reason) of the running test
        self._current: unittest.TestCase | None = None
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        """Write the beginning, so that a crash can be attributed."""
        super().startTest(test)
        self._seen, self._current, self._began = [], test, time.monotonic()
        write(event="began", id=test.id())

    def stopTest(self, test: unittest.TestCase) -> None:
        """Write how the test ended."""
        super().stopTest(test)
        outcome, reason = min(
            self._seen or [("passed", "")],  # a test whose subtests failed has no outcome of its own
            key=lambda seen: OUTCOMES.index(seen[0]),
        )
        seconds = round(time.monotonic() - self._began, 3)
        write(event="ended", id=test.id(), outcome=outcome, reason=reason, seconds=seconds)
        self._current = None

    def _note(self, test: Any, outcome: str, reason: str = "") -> None:
        if self._current is None:  # in setUpClass or setUpModule
            write(event="around", id=test.id(), outcome=outcome, reason=reason)
        else:
            self._seen.append((outcome, reason))

    def addSuccess(self, test: unittest.TestCase) -> None:
        """See `unittest`."""
        super().addSuccess(test)
        self._note(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        """See `unittest`."""
        super().addError(test, err)
        self._note(test, "error", reason_of(err))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        """See `unittest`."""
        super().addFailure(test, err)
        self._note(test, "failed", reason_of(err))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        """See `unittest`."""
        super().addSubTest(test, subtest, err)
        if err is not None:
            outcome = "failed" if issubclass(err[0], test.failureException) else "error"
            which = subtest.id().removeprefix(test.id()).strip()
            self._note(test, outcome, f"{which} {reason_of(err)}"[:MAX_REASON])

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """See `unittest`."""
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        """See `unittest`."""
        super().addExpectedFailure(test, err)
        self._note(test, "expected failure", reason_of(err))

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        """See `unittest`."""
        super().addUnexpectedSuccess(test)
        self._note(test, "unexpected success")


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Yield the tests of a suite."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


class Runner(DiscoverRunner):
    """Django's runner with the recorder, in one process."""

    def get_resultclass(self) -> Any:
        """Return the recorder in place of unittest's own result."""
        return Recorder

    def build_suite(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        """Return the tests, and write which were found."""
        suite = super().build_suite(*args, **kwargs)
        tests = list(each(suite))
        for test in tests:
            reason = SKIPPED_TESTS.get(test.id())
            if reason and (reason != AS_ROOT or os.geteuid() == 0):
                name = test._testMethodName
                setattr(test, name, unittest.skip(reason)(getattr(test, name)))
        write(event="found", ids=[test.id() for test in tests])
        return suite

    def run_tests(self, *args: Any, **kwargs: Any) -> int:
        """Run the tests, and write that the end was reached."""
        failures = super().run_tests(*args, **kwargs)
        write(event="done", failures=failures)
        return failures
