"""`manage.py d1_selftest`: test on a live D1 database what the backend assumes."""

import json
import sqlite3
import sys
from dataclasses import asdict
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from ...base import DatabaseWrapper
from ...selftest.running import ASSUMPTIONS, Finding, Latency, check_reachable, examine, latencies
from ...selftest.scratch import Scratch, Unreachable
from ...transport import AccessDenied, D1Error, Gateway, NoAnswer


class Command(BaseCommand):
    help = (
        "Test on a D1 database, in scratch tables that are removed again, whether everything holds that this "
        "backend assumes, and how long a round trip takes; about a minute. Exit code 0: all holds, 1: "
        "something does not, 2: the database did not answer. Example: python manage.py d1_selftest "
        "--database default --json"
    )
    requires_system_checks = []  # this tests a database, not a project

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --database and --json."""
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="its alias in DATABASES (default: %(default)s)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print the findings as JSON on stdout, the progress on stderr"
        )

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        """Run the tests, print the results, and exit as the help describes."""
        self.out = self.stderr if options["json"] else self.stdout
        db = Scratch(self._connection(database))
        findings: list[Finding] = []
        measured: list[Latency] = []
        failure = ""
        try:
            self._print(f"Testing {self._describe(db)}.\n")
            check_reachable(db)
            self._run(db, findings, measured)
        except (Unreachable, ImproperlyConfigured) as error:
            failure = str(error)
        holds = not failure and all(finding.holds for finding in findings)
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {
                        "database": database,
                        "holds": holds,
                        "failure": failure,
                        "assumptions": [asdict(finding) for finding in findings],
                        "latencies": [asdict(latency) for latency in measured],
                        "figures": db.figures,
                    },
                    ensure_ascii=False,
                    indent=1,
                )
            )
        if failure:
            raise CommandError(f"The database {database!r} did not answer. {failure}", returncode=2)
        self._summarize(findings)
        if not holds:
            sys.exit(1)

    def _connection(self, database: str) -> DatabaseWrapper:
        """Return the connection of an alias. Raises `CommandError` unless it is D1."""
        try:
            connection = connections[database]
        except ConnectionDoesNotExist:
            raise CommandError(f"DATABASES has no {database!r}.", returncode=2) from None
        if not isinstance(connection, DatabaseWrapper):
            raise CommandError(
                f"The database {database!r} is {connection.display_name}, not Cloudflare D1. Set "
                "DATABASE_URL to its d1:// or d1-rest:// address, or choose another with --database.",
                returncode=2,
            )
        return connection

    def _describe(self, db: Scratch) -> str:
        settings = db.django.settings_dict
        if isinstance(db.transport, Gateway):
            return f"{settings['NAME']!r} through the gateway at {settings['HOST']}"
        return f"{settings['NAME']!r} through Cloudflare's REST interface"

    def _run(self, db: Scratch, findings: list[Finding], measured: list[Latency]) -> None:
        """Test every assumption, then measure, and always remove the scratch tables. Raises `Unreachable`."""
        try:
            db.prepare()
            for number, assumption in enumerate(ASSUMPTIONS, 1):
                self._print(f"[{number:>2}/{len(ASSUMPTIONS)}] {assumption.name}", ending=" … ")
                findings.append(examine(db, assumption))
                self._report(findings[-1])
            self._print(f"\n{'Milliseconds of a round trip':<44}{'median':>8}{'slowest':>10}")
            for latency in latencies(db):
                measured.append(latency)
                name = f"{latency.name} ({latency.times} times)"
                self._print(f"  {name:<42}{latency.median_ms:>8.1f}{latency.slowest_ms:>10.1f}")
        finally:
            self._remove(db)

    def _remove(self, db: Scratch) -> None:
        try:
            db.remove()
        except (AccessDenied, NoAnswer, D1Error, DatabaseError, sqlite3.Error):
            self.stderr.write("Scratch tables (_d1_selftest_…) may be left over; the next run removes them.")

    def _report(self, finding: Finding) -> None:
        word = self.style.SUCCESS("ok") if finding.holds else self.style.ERROR("FAILED")
        self._print(f"{word}: {finding.seen}")
        if not finding.holds:
            self._print(f"        This means: {finding.otherwise}.")

    def _summarize(self, findings: list[Finding]) -> None:
        failed = sum(not finding.holds for finding in findings)
        if failed:
            self._print(self.style.ERROR(f"\n{failed} of {len(findings)} assumptions do not hold."))
        else:
            self._print(self.style.SUCCESS(f"\nAll {len(findings)} assumptions hold."))

    def _print(self, text: str, ending: str = "\n") -> None:
        self.out.write(text, ending=ending)
        self.out.flush()  # each result appears when it is known, through a pipe too
