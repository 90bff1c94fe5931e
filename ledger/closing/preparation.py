"""Preparing a day to be closed: it is compared with Stripe, the books are checked, its files are built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, Max, Min
from django.utils.translation import gettext as _

from kikaku.money import yen
from ledger.books import accounts, trial_balance
from ledger.books.tax_rules import load_tax_rules
from ledger.books.trial_balance import AccountBalance
from ledger.closing import checks, evidence, journal_file, report, report_page
from ledger.closing.evidence import EvidenceContent
from ledger.closing.reconciliation import Difference, compare, unresolved
from ledger.ingest.snapshot import StripeSnapshot
from ledger.models import Account, DailyClose, Discrepancy, JournalEntry


class BooksUnbalanced(Exception):
    """The books do not balance, so nothing can be proved. The text says where."""


@dataclass(frozen=True)
class EntriesSeen:
    """The entries of a day: their number, and their lowest and highest key (0 and −1: none)."""

    count: int
    first: int
    last: int


@dataclass(frozen=True)
class PreparedDay:
    """A day that is ready to be locked."""

    day: date
    differences: Sequence[Difference]  # found now; the report also has those noted before and not resolved
    report: dict[str, Any]
    balances: Mapping[str, AccountBalance]  # at the end of the day, by account
    files: Mapping[str, EvidenceContent]  # by name, the manifest included
    previous: DailyClose | None  # of the day before
    entries_seen: EntriesSeen


def prepare(snapshot: StripeSnapshot) -> PreparedDay:
    """Compare the day and account 1150 with Stripe, check the books, and build the files. Changes nothing.

    Raises `BooksUnbalanced`.
    """
    day = snapshot.day
    seen = entries_seen(day)
    balances = trial_balance.account_balances(day)
    rules = load_tax_rules()
    findings = checks.check_day(day, balances, rules, (seen.first, seen.last))
    for finding in findings:
        if finding.check.fatal:
            raise BooksUnbalanced(
                _("The books do not balance, so nothing can be proved. %(finding)s")
                % {"finding": finding.in_japanese()}
            )
    book_balance = balances.get(accounts.STRIPE_BALANCE, AccountBalance()).net
    differences = compare(snapshot)
    if snapshot.balance != book_balance:
        differences.append(
            Difference(
                Discrepancy.Kind.BALANCE,
                accounts.STRIPE_BALANCE,
                snapshot.balance - book_balance,
                f"{day} の終わりの Stripe 残高 {yen(snapshot.balance)}、勘定 1150 {yen(book_balance)}",
            )
        )
    differences += [
        Difference(
            Discrepancy.Kind.INVARIANT,
            f"{finding.check.english_label}: {finding.object_id}"[:120],
            0,
            finding.in_japanese(),
        )
        for finding in findings
    ]
    chart = list(Account.objects.order_by("code"))
    content = report.build(
        day,
        stripe_balance=snapshot.balance,
        balances=balances,
        differences=unresolved(day, differences),
        findings=findings,
        rules=rules,
        chart=chart,
    )
    files = {
        "report.json": evidence.build([evidence.canonical_json(content)]),
        "report.html": evidence.build([report_page.html(content)]),
        "stripe-evidence.json": evidence.build(evidence.stripe_evidence(snapshot)),
        "journal.csv": evidence.build(
            journal_file.write(day, rules, evidence_format=evidence.EVIDENCE_FORMAT, chart=chart)
        ),
    }
    previous = DailyClose.objects.filter(day__lt=day).order_by("-day").first()
    files[evidence.MANIFEST] = evidence.manifest(
        day, files, previous=None if previous is None else (previous.day, previous.manifest_sha256)
    )
    return PreparedDay(
        day=day,
        differences=differences,
        report=content,
        balances=balances,
        files=files,
        previous=previous,
        entries_seen=seen,
    )


def entries_seen(day: date) -> EntriesSeen:
    """Return which entries the day has now."""
    seen = JournalEntry.objects.filter(day=day).aggregate(count=Count("pk"), first=Min("pk"), last=Max("pk"))
    return EntriesSeen(seen["count"], seen["first"] or 0, seen["last"] or -1)
