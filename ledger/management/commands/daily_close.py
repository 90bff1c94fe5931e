"""`manage.py daily_close`: close days by hand, with the function that the schedule calls."""

import json
import sys
from argparse import ArgumentTypeError
from datetime import date, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import OperationalError
from django.utils import timezone

from kikaku.days import yesterday
from kikaku.money import yen
from ledger.books import journal
from ledger.closing import daily_close
from ledger.closing.daily_close import CloseFailed, CloseResult, DayRefused
from ledger.closing.report import COUNT_NAMES


def parse_day(text: str) -> date:
    """Return a date written as 2026-11-22, of this century. Raises `ArgumentTypeError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date like 2026-11-22") from None
    if day.year < 2000:
        raise ArgumentTypeError(f"{text!r} lies before anything that could be closed")
    return day


class Command(BaseCommand):
    help = (
        "Reconcile a business day (JST) with Stripe to the yen, store its evidence, and lock it. "
        "Without a date: yesterday, after every earlier open day. "
        "Exit code 0: clean, 2: closed with open differences, 1: failed. Tasks and notices leave it at 0."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        """Exit with 1 for a misspelled option: the 2 of argparse would mean that a day has differences."""
        self._called_from_command_line = True  # as Django does: argparse may end the process
        try:
            self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
        except SystemExit as end:
            sys.exit(1 if end.code else 0)
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--date", type=parse_day, help="the day to close")
        parser.add_argument("--from", type=parse_day, dest="first", help="the first of several days")
        parser.add_argument("--to", type=parse_day, dest="last", help="the last of several days")
        parser.add_argument("--dry-run", action="store_true", help="print the result, but write nothing")
        parser.add_argument("--json", action="store_true", help="print the reports as JSON on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        """Close, print, and exit with the code that the help describes."""
        now = timezone.now()
        results: list[CloseResult] = []
        failure = ""
        try:
            days = self._days(options, now)
            for result in daily_close.close_days(days, now=now, dry_run=options["dry_run"]):
                results.append(result)
                counter = f"[{len(results)}/{len(days)}] " if len(days) > 1 else ""
                self._write(counter + self._describe(result), options)
                for row in result.report.get("discrepancies", []):
                    self._write(
                        f"    {row['kind']} {row['object']} {yen(row['amount'])} {row['detail']}", options
                    )
        except CloseFailed as error:
            failure = str(error)
        except OperationalError as error:  # a full disk, a lock that is never released, a server that is gone
            failure = f"The database does not work: {error}. The open days stay open; please try again."
        if failure:
            self.stderr.write(self.style.ERROR(failure))
        if options["json"]:
            self.stdout.write(
                json.dumps(
                    {"days": [self._as_json(result) for result in results], "failure": failure},
                    ensure_ascii=False,
                    indent=1,
                )
            )
        code = 1 if failure else max((result.exit_code for result in results), default=0)
        if code:
            sys.exit(code)

    def _days(self, options: dict[str, Any], now: datetime) -> list[date]:
        """Return the days that were asked for. Raises `DayRefused`."""
        day, first, last = options["date"], options["first"], options["last"]
        if day is not None and (first is not None or last is not None):
            raise DayRefused("Give either --date, or --from and --to.")
        if (first is None) != (last is None):
            raise DayRefused("--from and --to belong together.")
        if day is not None:
            return [day]
        if first is not None:
            if first > last:
                raise DayRefused(f"--from {first} lies after --to {last}.")
            if last > yesterday(now):  # before a range of a million days is laid out
                daily_close.check_days([last], now=now)
            return [first + timedelta(days=after) for after in range((last - first).days + 1)]
        until = yesterday(now)
        closed = journal.last_closed_day()
        return [until] if closed is not None and closed >= until else daily_close.open_days(until)

    def _describe(self, result: CloseResult) -> str:
        if result.state == daily_close.ALREADY_CLOSED:
            return (
                f"{result.day}: already closed, {result.summary}; nothing was changed. "
                f"Evidence: {result.folder}/"
            )
        if result.state == daily_close.DRY_RUN:
            return f"{result.day}: would be closed with {result.summary}. Dry run: nothing was written."
        return f"{result.day}: closed, {result.summary}. Evidence: {result.folder}/"

    def _write(self, text: str, options: dict[str, Any]) -> None:
        out = self.stderr if options["json"] else self.stdout
        out.write(text)
        out.flush()  # each day is reported when it is done, through a pipe too

    def _as_json(self, result: CloseResult) -> dict[str, Any]:
        return {
            "day": result.day.isoformat(),
            "state": result.state,
            **{name: result.open[category] for category, name in COUNT_NAMES.items()},
            "manifest_sha256": result.manifest_sha256,
            "evidence": result.folder,
            "report": result.report,
        }
