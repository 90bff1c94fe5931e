"""`manage.py d1_selftest`: ask a live D1 whether it is as the backend takes it for."""

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
from ...selftest.running import ASSUMPTIONS, Finding, Latency, examine, latencies, reach
from ...selftest.scratch import Scratch, Unreachable
from ...transport import Denied, Gateway, Refused, Silence


class Command(BaseCommand):
    help = (
        "Ask a D1 database, in scratch tables that are removed again, whether everything holds that this backend rests "
        "on, and how long a round trip takes; about a minute. Exit code 0: all holds, 1: something does not, and what "
        "that means, 2: the database could not be asked. Example: python manage.py d1_selftest --database default --json"
    )
    requires_system_checks = []  # a database is looked at, not a project

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --database and --json."""
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, help="its alias in DATABASES (default: %(default)s)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print the findings as JSON on stdout, the progress on stderr"
        )

    def handle(self, *args: Any, database: str, **options: Any) -> None:
        """Ask, print, and exit as the help says."""
        self.out = self.stderr if options["json"] else self.stdout
        db = Scratch(self._connection(database))
        findings: list[Finding] = []
        measured: list[Latency] = []
        failure = ""
        try:
            self._say(f"Asking {self._way(db)}.\n")
            reach(db)
            self._ask(db, findings, measured)
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
            raise CommandError(f"The database {database!r} could not be asked. {failure}", returncode=2)
        self._sum_up(findings)
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
                f"The database {database!r} is {connection.display_name}, not Cloudflare D1. Set DATABASE_URL to its "
                "d1:// or d1-rest:// address, or choose another with --database.",
                returncode=2,
            )
        return connection

    def _way(self, db: Scratch) -> str:
        settings = db.django.settings_dict
        if isinstance(db.transport, Gateway):
            return f"{settings['NAME']!r} through the gateway at {settings['HOST']}"
        return f"{settings['NAME']!r} through Cloudflare's REST interface"

    def _ask(self, db: Scratch, findings: list[Finding], measured: list[Latency]) -> None:
        """Test every assumption, then measure; the scratch tables go, whatever happens. Raises `Unreachable`."""
        try:
            db.prepare()
            for number, assumption in enumerate(ASSUMPTIONS, 1):
                self._say(f"[{number:>2}/{len(ASSUMPTIONS)}] {assumption.name}", ending=" … ")
                findings.append(examine(db, assumption))
                self._tell(findings[-1])
            self._say(f"\n{'Milliseconds, there and back':<44}{'median':>8}{'slowest':>10}")
            for latency in latencies(db):
                measured.append(latency)
                name = f"{latency.name} ({latency.times} times)"
                self._say(f"  {name:<42}{latency.median_ms:>8.1f}{latency.slowest_ms:>10.1f}")
        finally:
            self._remove(db)

    def _remove(self, db: Scratch) -> None:
        try:
            db.remove()
        except (Denied, Silence, Refused, DatabaseError, sqlite3.Error):
            self.stderr.write(
                "Scratch tables (_d1_selftest_…) may have stayed behind; the next run removes them."
            )

    def _tell(self, finding: Finding) -> None:
        word = self.style.SUCCESS("ok") if finding.holds else self.style.ERROR("FAILED")
        self._say(f"{word}: {finding.seen}")
        if not finding.holds:
            self._say(f"        This means: {finding.otherwise}.")

    def _sum_up(self, findings: list[Finding]) -> None:
        failed = sum(not finding.holds for finding in findings)
        if failed:
            self._say(self.style.ERROR(f"\n{failed} of {len(findings)} assumptions do not hold."))
        else:
            self._say(self.style.SUCCESS(f"\nAll {len(findings)} assumptions hold."))

    def _say(self, text: str, ending: str = "\n") -> None:
        self.out.write(text, ending=ending)
        self.out.flush()  # each is told as it is done, through a pipe too
