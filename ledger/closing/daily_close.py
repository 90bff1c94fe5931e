"""The daily close: caught up, compared, proved, locked, and put away as evidence that nobody can quietly change.

1. Events that were left are handled, Stripe's balance and its transactions are read up to this moment.
2. Every transaction is stored and posted through the same functions as ever.
3. The day is compared with Stripe one by one, in both directions; the balance is proved; the invariants are checked.
4. The evidence is written to the next free run folder.
5. One transaction locks the day and writes differences, close and file rows; if an entry came in meanwhile, it is
   rolled back and the day is put together again. A crash before it leaves an unreferenced run folder, no more.

It posts no entry without a Stripe object or a document behind it. Differences do not keep a day open; what makes the
proof impossible does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Min

from kikaku.days import business_day, day_bounds, yesterday
from kikaku.transactions import unit_of_work
from ledger.books import accounts, journal, trial_balance
from ledger.books.discrepancies import note_discrepancy
from ledger.books.trial_balance import AccountBalance
from ledger.closing import checks, evidence, report
from ledger.closing.reconciliation import Difference, compare, unheard
from ledger.ingest import balance, inbox
from ledger.ingest.balance import Reading, Told
from ledger.ingest.snapshot import BalanceMoves, StripeDay, Survey, read_day, survey
from ledger.models import (
    BalanceTransaction,
    ClosingBalance,
    DailyClose,
    Discrepancy,
    EvidenceFile,
    JournalEntry,
    Order,
)
from ledger.stripe.client import StripeRefused, StripeUnavailable

ATTEMPTS = 5  # how often a day is put together anew because something was posted into it meanwhile
LATE_DAYS = 31  # how far back to look for what surfaced late, when the balance is not proved

CLOSED = "closed"
ALREADY_CLOSED = "already closed"
DRY_RUN = "dry run"


class CloseFailed(Exception):
    """The day could not be closed and stays open; nothing about it was written. The text says why."""


class DayRefused(CloseFailed):
    """This day can not be closed now: it has not ended, or an earlier one is open."""


@dataclass(frozen=True)
class CloseResult:
    """What became of a day."""

    day: date
    state: str  # CLOSED, ALREADY_CLOSED or DRY_RUN
    differences: int
    manifest_sha256: str
    folder: str  # below the evidence storage; empty after a dry run
    report: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """Give 0 for a clean day, 2 for one with differences."""
        return 2 if self.differences else 0


@dataclass(frozen=True)
class Prepared:
    """A day put together, not yet locked."""

    facts: StripeDay
    differences: list[Difference]  # to be written
    open: list[Difference]  # these, and those that stood before and are not resolved
    report: dict[str, Any]
    balances: dict[str, AccountBalance]
    files: dict[str, evidence.Paper]
    manifest: evidence.Paper
    previous_sha256: str
    entries: tuple[int, int]  # how many the day had, and the last one: to see that nothing came in


@dataclass
class _Looked:
    """What was read at Stripe before any transaction began."""

    survey: Survey
    transactions: dict[date, list[Reading]] = field(default_factory=dict)
    late: list[Reading] = field(default_factory=list)  # of days that are closed already


# ── Which days ───────────────────────────────────────────────────────────────────────────────────────────


def open_days(until: date) -> list[date]:
    """Give the days that are to be closed, in order, up to and including `until`.

    The first day of all is that of the first order, entry or balance transaction; in empty books `until` itself.
    """
    last = journal.last_closed_day()
    first = until if last is None else last + timedelta(days=1)
    if last is None:
        placed = Order.objects.aggregate(first=Min("placed_at"))["first"]
        days = [
            business_day(placed) if placed else None,
            JournalEntry.objects.aggregate(first=Min("day"))["first"],
            BalanceTransaction.objects.aggregate(first=Min("day"))["first"],
        ]
        first = min([day for day in days if day is not None] + [until])
    return [first + timedelta(days=after) for after in range((until - first).days + 1)]


def check_days(days: Sequence[date], *, now: datetime) -> None:
    """Raise `DayRefused` unless the days have ended, follow each other, and begin with the first open one."""
    if not days:
        return
    if days[-1] > yesterday(now):
        raise DayRefused(
            f"{days[-1]} has not ended in Japan yet; the last day that can be closed is {yesterday(now)}."
        )
    if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(days)):
        raise DayRefused("The days to close must follow each other without gaps.")
    last = journal.last_closed_day()
    if last is not None and days[0] <= last:
        raise DayRefused(
            f"{days[0]} lies before the end of the closed days ({last}): nothing can be closed there."
        )
    expected = open_days(days[0])
    if expected[0] != days[0]:
        raise DayRefused(
            f"{expected[0]} is still open: days close in order. Close from {expected[0]} to {days[-1]} instead."
        )


# ── Closing ──────────────────────────────────────────────────────────────────────────────────────────────


def close_day(day: date, *, now: datetime, dry_run: bool = False) -> CloseResult:
    """Close one day, or say what closing it would say. A day that is closed already is returned as it is.

    Raises `DayRefused`, and `CloseFailed` when Stripe does not answer, the books do not balance, or the evidence can
    not be put away.
    """
    return next(close_days([day], now=now, dry_run=dry_run))


def close_days(days: Sequence[date], *, now: datetime, dry_run: bool = False) -> Iterator[CloseResult]:
    """Close consecutive days, yielding each as it is done; those closed already are yielded as they are.

    A dry run writes nothing at all, neither to the database nor to disk. Raises as `close_day` does; the days that
    were yielded before stay closed.
    """
    if not days:
        return
    closed = {close.day: close for close in DailyClose.objects.filter(day__gte=min(days), day__lte=max(days))}
    for day in days:
        if day in closed:
            yield _already(closed[day])
    rest = [day for day in days if day not in closed]
    if rest:
        check_days(rest, now=now)
        yield from (_dry_run(rest, now) if dry_run else _close(rest, now))


def _close(days: Sequence[date], now: datetime) -> Iterator[CloseResult]:
    with _stripe_errors():
        _handle_events(now)
        looked = _look(days[0], now, store=True, wanted=days[:1])
    for day in days:
        with _stripe_errors():
            stored = looked.transactions.pop(day, None)
            facts = read_day(day, transactions=stored)
            while facts.net != looked.survey.net[day]:  # something surfaced for that day since we looked
                looked = _look(day, now, store=True, wanted=[day])
                stored = looked.transactions.pop(day)
                facts = read_day(day, transactions=stored)
            if stored is None:
                balance.take_in(facts.transactions, now=now)
            balance.learn(_ask_about_unheard(facts), now=now)
        if looked.survey.at_cut(day) != trial_balance.net_balance(accounts.STRIPE_BALANCE, until=day):
            with _stripe_errors():
                for readings in _read_back(day):
                    if balance.take_in(readings, now=now).posted and looked.survey.at_cut(
                        day
                    ) == trial_balance.net_balance(accounts.STRIPE_BALANCE, until=day):
                        break
        yield _lock(facts, looked.survey.at_cut(day), now)


def _ask_about_unheard(facts: StripeDay) -> Told:
    """Ask about what no webhook told of and no money has moved for yet, such as a refund that waits in a dashboard."""
    charges, refunds = unheard(facts)
    return balance.ask(charges=charges, refunds=refunds)


def _read_back(day: date) -> Iterator[list[Reading]]:
    """Read the days before again, newest first: one of their transactions may have surfaced after its lock."""
    known = BalanceTransaction.objects.aggregate(first=Min("day"))["first"]
    begin = [first for first in (known, DailyClose.objects.aggregate(first=Min("day"))["first"]) if first]
    for back in range(1, LATE_DAYS + 1):
        earlier = day - timedelta(days=back)
        if not begin or earlier < min(begin):
            return
        yield balance.read(*day_bounds(earlier))


def _dry_run(days: Sequence[date], now: datetime) -> Iterator[CloseResult]:
    """Do everything in a transaction that is rolled back; what Stripe says is read before it begins."""
    with _stripe_errors():
        looked = _look(days[0], now, store=False, wanted=days)
        facts = [read_day(day, transactions=looked.transactions[day]) for day in days]
        told = [balance.ask_about(balance.unknown(read)) for read in looked.transactions.values()]
        told += [_ask_about_unheard(of) for of in facts]
        results = _rehearse(facts, looked, told, now)
        if any(result.report["proof"]["difference"] for result in results):
            for earlier in _read_back(days[0]):
                looked.late.extend(earlier)
            told.append(balance.ask_about(balance.unknown(looked.late)))
            results = _rehearse(facts, looked, told, now)
    yield from results


@unit_of_work
def _rehearse(
    facts: Sequence[StripeDay], looked: _Looked, told: Sequence[Told], now: datetime
) -> list[CloseResult]:
    results = []
    _handle_events(now)
    for answers in told:
        balance.learn(answers, now=now)
    for readings in (looked.late, *looked.transactions.values()):
        balance.take_in(readings, now=now, ask=False)
    for of in facts:
        prepared = _prepare(of, looked.survey.at_cut(of.day), now)
        _write_rows(prepared, run=0, written=[], now=now)
        results.append(
            CloseResult(
                day=of.day,
                state=DRY_RUN,
                differences=len(prepared.open),
                manifest_sha256=prepared.manifest.sha256,
                folder="",
                report=prepared.report,
            )
        )
    transaction.set_rollback(True)
    return results


def _look(since: date, now: datetime, *, store: bool, wanted: Sequence[date]) -> _Looked:
    """Read Stripe's balance and every transaction since a day; keep those of the wanted days.

    With `store` each day's transactions are stored and posted as they come; else all are kept for the dry run.
    """
    kept: dict[date, list[Reading]] = {}

    def keep(day: date, readings: list[Reading]) -> None:
        if store:
            balance.take_in(readings, now=now)
        if day in wanted or not store:
            kept[day] = readings

    return _Looked(survey=survey(since, now=now, keep=keep), transactions=kept)


def _handle_events(now: datetime) -> None:
    while inbox.process_pending(now=now):
        pass


@contextmanager
def _stripe_errors() -> Iterator[None]:
    """Say in one sentence that the proof is impossible at the moment."""
    try:
        yield
    except StripeUnavailable as error:
        raise CloseFailed(
            f"Stripe does not answer, so nothing can be proved: {error}. Please try again later."
        ) from error
    except StripeRefused as error:
        raise CloseFailed(f"Stripe refused to answer, so nothing can be proved: {error}") from error
    except BalanceMoves as error:
        raise CloseFailed(str(error)) from error


# ── Putting a day together ───────────────────────────────────────────────────────────────────────────────


def _prepare(facts: StripeDay, stripe_balance: int, now: datetime) -> Prepared:
    """Compare, prove, check, and put the files together. Changes nothing.

    Raises `CloseFailed` when the books do not balance.
    """
    day = facts.day
    entries = _entries(day)
    findings = checks.check_day(day)
    for finding in findings:
        if finding.check.fatal:
            raise CloseFailed(f"The books do not balance, so nothing can be proved. {finding}")
    balances = trial_balance.account_balances(day)
    book_balance = balances.get(accounts.STRIPE_BALANCE, AccountBalance()).net
    differences = compare(facts)
    if stripe_balance != book_balance:
        differences.append(
            Difference(
                Discrepancy.Kind.BALANCE,
                accounts.STRIPE_BALANCE,
                stripe_balance - book_balance,
                f"Stripe's balance at the end of {day} was {stripe_balance}, account 1150 says {book_balance}",
            )
        )
    differences += [
        Difference(
            Discrepancy.Kind.INVARIANT, f"{finding.check.english}: {finding.object_id}"[:120], 0, str(finding)
        )
        for finding in findings
    ]
    unresolved = _unresolved(day, differences)
    content = report.build(
        day,
        stripe_balance=stripe_balance,
        balances=balances,
        found=unresolved,
        findings=findings,
    )
    files = {
        "report.json": evidence.paper([evidence.canonical_json(content)]),
        "report.html": evidence.paper([report.html(content)]),
        "stripe-evidence.json": evidence.paper(evidence.stripe_evidence(facts)),
        "journal.csv": evidence.paper(evidence.journal_csv(day)),
    }
    before = DailyClose.objects.filter(day__lt=day).order_by("-day").first()
    manifest = evidence.manifest(
        day, files, previous=None if before is None else (before.day, before.manifest_sha256)
    )
    return Prepared(
        facts=facts,
        differences=differences,
        open=unresolved,
        report=content,
        balances=balances,
        files={**files, evidence.MANIFEST: manifest},
        manifest=manifest,
        previous_sha256="" if before is None else before.manifest_sha256,
        entries=entries,
    )


def _unresolved(day: date, differences: Sequence[Difference]) -> list[Difference]:
    """Give what stays open: found now or noted earlier for this day, and not resolved by a person."""
    noted = {(row.kind, row.object_id): row for row in Discrepancy.objects.filter(day=day)}
    fresh = {
        (difference.kind, difference.object_id): difference
        for difference in differences
        if (difference.kind, difference.object_id) not in noted
    }
    standing = [
        Difference(row.kind, row.object_id, row.amount, row.detail)
        for row in noted.values()
        if row.resolved_at is None
    ]
    return [*standing, *fresh.values()]


def _entries(day: date) -> tuple[int, int]:
    counted = JournalEntry.objects.filter(day=day).aggregate(count=Count("pk"), last=Max("pk"))
    return counted["count"], counted["last"] or 0


# ── Locking ──────────────────────────────────────────────────────────────────────────────────────────────


class _Disturbed(Exception):
    """Something was posted while the day was put together."""


def _lock(facts: StripeDay, stripe_balance: int, now: datetime) -> CloseResult:
    """Write the evidence and lock the day; put together anew whenever something was posted in between."""
    for _attempt in range(ATTEMPTS):
        prepared = _prepare(facts, stripe_balance, now)
        try:
            run = evidence.next_run(facts.day)
            written = evidence.write(facts.day, run, prepared.files)
        except evidence.RunTaken:
            continue
        except Exception as error:  # whatever a disk or a storage library says
            raise CloseFailed(
                f"The evidence of {facts.day} can not be put away, so the day stays open: {error}. "
                "Please make room or repair the storage; the next run closes it."
            ) from error
        try:
            _write_rows(prepared, run=run, written=written, now=now)
        except _Disturbed:
            continue
        except IntegrityError:
            close = DailyClose.objects.filter(day=facts.day).first()
            if close is None:
                raise
            return _already(close)  # another process was faster
        return CloseResult(
            day=facts.day,
            state=CLOSED,
            differences=len(prepared.open),
            manifest_sha256=prepared.manifest.sha256,
            folder=evidence.folder(facts.day, run),
            report=prepared.report,
        )
    raise CloseFailed(f"Entries kept coming in while {facts.day} was closed. Please try again in a moment.")


@unit_of_work
def _write_rows(prepared: Prepared, *, run: int, written: Sequence[evidence.Written], now: datetime) -> None:
    """Write the close in one transaction. Its first row locks: from here on the day gains no entry.

    On D1 nothing locks: the count of the day's entries is a guarded read, so that one posted meanwhile makes this
    begin anew and find the day disturbed; a posting that commits later meets the trigger, which runs again then. The
    count is one row, however many entries the day has, and the last key alone would not do: keys are drawn beforehand.
    """
    day = prepared.facts.day
    proof = prepared.report["proof"]
    close = DailyClose(
        day=day,
        run=run,
        stripe_balance=proof["stripe_balance"],
        book_balance=proof["account_1150"],
        differences=len(prepared.open),
        manifest_sha256=prepared.manifest.sha256,
        previous_sha256=prepared.previous_sha256,
        closed_at=now,
    )
    close.save(force_insert=True)
    if _entries(day) != prepared.entries:
        raise _Disturbed
    for difference in prepared.differences:
        note_discrepancy(
            difference.kind,
            difference.object_id,
            day=day,
            amount=difference.amount,
            detail=difference.detail,
            now=now,
        )
    ClosingBalance.objects.bulk_create(
        ClosingBalance(
            close=close,
            account_id=code,
            debit=account.debit,
            credit=account.credit,
            open_orders=account.open_orders,
            without_order=account.without_order,
        )
        for code, account in prepared.balances.items()
    )
    EvidenceFile.objects.bulk_create(
        EvidenceFile(close=close, path=file.path, sha256=file.sha256, size=file.size) for file in written
    )


def _already(close: DailyClose) -> CloseResult:
    """Tell of a day that is closed, from its evidence; an unreadable report leaves it empty."""
    folder = evidence.folder(close.day, close.run)
    return CloseResult(
        day=close.day,
        state=ALREADY_CLOSED,
        differences=close.differences,
        manifest_sha256=close.manifest_sha256,
        folder=folder,
        report=evidence.read_report(f"{folder}/report.json"),
    )
