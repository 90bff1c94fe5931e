"""`manage.py verify_books`: recompute the books and the evidence, and report what is wrong."""

import json
import sys
from argparse import ArgumentTypeError
from dataclasses import asdict
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ledger.closing import verification
from ledger.models import DailyClose, JournalEntry


def parse_head(text: str) -> tuple[date, str]:
    """Return day and SHA-256 of a text such as 2026-11-22:0123…. Raises `ArgumentTypeError`."""
    day, _colon, sha256 = text.partition(":")
    try:
        return date.fromisoformat(day), sha256.strip().lower()
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day and SHA-256 like 2026-11-22:0123…") from None


class Command(BaseCommand):
    help = (
        "Recompute balances, invariants, stock, triggers and the chain of evidence. "
        "Exit code 0: clean, 1: something is wrong, named with table, id, what was expected and found."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--head",
            type=parse_head,
            action="append",
            default=[],
            help="day and SHA-256 of a manifest, as the mail of its close has them: 2026-11-22:0123…",
        )
        parser.add_argument("--json", action="store_true", help="print the findings as JSON on stdout")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, print, and exit with 1 when anything is wrong."""
        counts = {"entries": JournalEntry.objects.count(), "closed_days": DailyClose.objects.count()}
        findings = []
        for finding in verification.verify(options["head"]):
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(self.style.ERROR(str(finding)))
        if options["json"]:
            report = {
                **counts,
                "clean": not findings,
                "findings": [
                    {**asdict(finding), "check": finding.check.english_label} for finding in findings
                ],
            }
            self.stdout.write(json.dumps(report, ensure_ascii=False, indent=1))
        elif findings:
            self.stdout.write(
                f"{len(findings)} findings. Change nothing: copy the database and the evidence first."
            )
        else:
            self.stdout.write(
                self.style.SUCCESS(
                    f"The books are clean: {counts['entries']} entries, {counts['closed_days']} closed days."
                )
            )
        if findings:
            sys.exit(1)
