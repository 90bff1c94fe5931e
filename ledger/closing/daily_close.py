"""The daily close: a business day is recorded, reconciled with Stripe, stored as evidence, and locked.

1. A snapshot is fetched from Stripe: the day's objects, and the balance at the end of the day.
2. Pending events are processed, and the snapshot's objects that are missing in our books are recorded, by
   the functions that the jobs use.
3. The day's objects are compared with Stripe in both directions, account 1150 (our Stripe balance) is
   compared with Stripe's balance ("the proof"), and the books are checked.
4. The evidence is stored in the next free run folder.
5. One transaction locks the day and writes discrepancies, closing balances and `EvidenceFile` rows. If an
   entry was posted since step 3, this transaction is rolled back, and steps 3 to 5 are repeated. Each
   repetition, and a crash before the end, leaves an unreferenced run folder; what step 2 recorded stays.

A dry run is the same code in one transaction that is rolled back, without step 4.

A close posts no entry without a Stripe object or a document behind it. A day with differences is closed all
the same. It stays open when Stripe does not answer, when its balance keeps changing, when the books do not
balance, when entries keep being posted to it, when the evidence cannot be stored, or while the merchant's tax
status is not entered.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Min
from django.utils.translation import gettext as _

from kikaku.days import business_day, yesterday
from kikaku.transactions import queued_writes, unit_of_work
from ledger.books import bulk, discrepancies, journal
from ledger.books.tax_rules import TaxStatusMissing
from ledger.closing import close_mail, evidence, report
from ledger.closing.preparation import BooksUnbalanced, PreparedDay, entries_seen, prepare
from ledger.ingest import balance, inbox
from ledger.ingest.backfill import backfill
from ledger.ingest.snapshot import StripeSnapshot, UnstableBalance, fetch_snapshots
from ledger.models import (
    BalanceTransaction,
    ClosingBalance,
    DailyClose,
    Discrepancy,
    EvidenceFile,
    JournalEntry,
    JournalLine,
    Order,
)
from ledger.stripe import client
from ledger.stripe.client import ForeignAccount, StripeRefused, StripeUnavailable

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5  # to lock a day, when entries are posted to it or its run folder is taken meanwhile
MANY_ENTRIES = 500  # posted by the close itself: the database's statistics are refreshed
DRY_RUN_NUMBER = 0  # a dry run writes no folder; the run numbers of real closes start at 1

CLOSED = "closed"
ALREADY_CLOSED = "already closed"
DRY_RUN = "dry run"


class CloseFailed(Exception):
    """The day could not be closed and stays open. What step 2 recorded stays recorded. The text says why."""


class DayRefused(CloseFailed):
    """This day cannot be closed now: it has not ended, or an earlier one is open."""


class _EntriesChanged(Exception):
    """An entry was posted while the day was prepared."""


@dataclass(frozen=True)
class CloseResult:
    """The result of closing a day, or of a dry run."""

    day: date
    state: str  # CLOSED, ALREADY_CLOSED or DRY_RUN
    open: Mapping[Discrepancy.Category, int]  # what was found and is not resolved
    manifest_sha256: str
    folder: str  # below the evidence storage; empty after a dry run
    report: dict[str, Any]

    @property
    def differences(self) -> int:
        """Return on how many things our books and Stripe do not agree."""
        return self.open[Discrepancy.Category.DIFFERENCE]

    @property
    def summary(self) -> str:
        """Return in words how much is open, such as "no differences, 1 to do"."""
        to_do, notices = self.open[Discrepancy.Category.TO_DO], self.open[Discrepancy.Category.NOTICE]
        words = [f"{self.differences} differences" if self.differences else "no differences"]
        words += [f"{to_do} to do"] if to_do else []
        words += [f"{notices} notices"] if notices else []
        return ", ".join(words)

    @property
    def exit_code(self) -> int:
        """Return 2 for a day with open differences, else 0: tasks and notices leave the books right."""
        return 2 if self.differences else 0


# ── Which days ───────────────────────────────────────────────────────────────────────────────────────────


def open_days(until: date) -> list[date]:
    """Return the days that are to be closed, in order, up to and including `until`.

    The books begin on the day of the first order, entry or balance transaction; empty books begin on `until`.
    """
    return _open_days(until, journal.last_closed_day())


def _open_days(until: date, last: date | None) -> list[date]:
    """Return the days after `last`, the latest closed one, up to and including `until`."""
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
    """Raise `DayRefused` unless the days have ended, are consecutive, and begin with the first open one."""
    if not days:
        return
    if days[-1] > yesterday(now):
        raise DayRefused(
            _("%(day)s has not ended in Japan yet; the last day that can be closed is %(last)s.")
            % {"day": days[-1], "last": yesterday(now)}
        )
    if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(days)):
        raise DayRefused(_("The days to close must follow each other without gaps."))
    last = journal.last_closed_day()
    if last is not None and days[0] <= last:
        raise DayRefused(
            _("%(day)s cannot be closed: later days, up to %(last)s, are closed already.")
            % {"day": days[0], "last": last}
        )
    expected = _open_days(days[0], last)
    if expected[0] != days[0]:
        raise DayRefused(
            _("%(first)s is still open: days close in order. Close from %(first)s to %(last)s instead.")
            % {"first": expected[0], "last": days[-1]}
        )


def check_stripe_clock(day: date, stripe_now: datetime) -> None:
    """Raise `DayRefused` unless the day has ended by Stripe's clock, too: ours may be ahead."""
    if day > yesterday(stripe_now):
        raise DayRefused(
            _(
                "%(day)s has not ended by Stripe's clock, which says %(clock)s UTC: the clock of this "
                "machine is ahead. Set it before you close a day."
            )
            % {"day": day, "clock": f"{stripe_now:%Y-%m-%d %H:%M}"}
        )


# ── Closing ──────────────────────────────────────────────────────────────────────────────────────────────


def close_day(day: date, *, now: datetime, dry_run: bool = False) -> CloseResult:
    """Close one day, or return what closing it would give. A day that is closed already is returned as it is.

    Raises `DayRefused`, and `CloseFailed` when Stripe does not answer, the books do not balance, or the
    evidence cannot be stored.
    """
    return next(close_days([day], now=now, dry_run=dry_run))


def close_days(days: Sequence[date], *, now: datetime, dry_run: bool = False) -> Iterator[CloseResult]:
    """Close consecutive days, yielding each as it is done; those closed already are yielded as they are.

    A dry run writes nothing, neither to the database nor to the storage. Raises as `close_day` does; the
    days that were yielded before stay closed.
    """
    if not days:
        return
    closed = {row.day: row for row in DailyClose.objects.filter(day__gte=min(days), day__lte=max(days))}
    for day in days:
        if day in closed:
            yield _already_closed(closed[day])
    to_close = [day for day in days if day not in closed]
    if not to_close:
        return
    check_days(to_close, now=now)
    with _errors_for_staff():
        check_stripe_clock(to_close[-1], client.ask_account().stripe_now)
        if dry_run:
            yield from _close_and_roll_back(list(fetch_snapshots(to_close, now=now)), now=now)
        else:
            # first, so that Stripe is not asked about objects that these events contain
            _process_events(now)
            for snapshot in fetch_snapshots(to_close, now=now):
                yield close_snapshot(snapshot, now=now)


@unit_of_work
def _close_and_roll_back(snapshots: Sequence[StripeSnapshot], *, now: datetime) -> list[CloseResult]:
    results = [close_snapshot(snapshot, now=now, dry_run=True) for snapshot in snapshots]
    transaction.set_rollback(True)
    return results


def close_snapshot(snapshot: StripeSnapshot, *, now: datetime, dry_run: bool = False) -> CloseResult:
    """Record what a snapshot holds, compare and check its day, store the evidence, and lock the day.

    A dry run stores no evidence; its caller rolls back the transaction. Raises `CloseFailed`.
    """
    _process_events(now)
    backfill(snapshot.answers, now=now, day=snapshot.day)
    # balance transactions of this day; those of other days that are not in the books yet
    posted = 0
    for readings in (snapshot.transactions, snapshot.other_days):
        posted += balance.record_transactions(readings, now=now, ask_stripe=False).posted
    if posted >= MANY_ENTRIES:
        bulk.refresh_statistics(JournalEntry, JournalLine, BalanceTransaction)
    taken: evidence.RunTaken | None = None
    for _attempt in range(MAX_ATTEMPTS):
        prepared = prepare(snapshot)
        try:
            run = DRY_RUN_NUMBER if dry_run else _store_evidence(prepared)
            _lock(prepared, run=run, now=now)
        except _EntriesChanged:
            taken = None
            continue
        except evidence.RunTaken as error:
            taken = error
            continue
        except IntegrityError:
            other = DailyClose.objects.filter(day=snapshot.day).first()
            if other is None:
                raise
            return _already_closed(other)  # by another process
        if not dry_run:
            _mark(prepared, run)
        return CloseResult(
            day=snapshot.day,
            state=DRY_RUN if dry_run else CLOSED,
            open=report.counts(prepared.report),
            manifest_sha256=prepared.files[evidence.MANIFEST].sha256,
            folder="" if dry_run else evidence.folder(snapshot.day, run),
            report=prepared.report,
        )
    if taken is None:
        raise CloseFailed(
            _("Entries kept coming in while %(day)s was closed. Please try again in a moment.")
            % {"day": snapshot.day}
        )
    raise CloseFailed(
        _(
            "The folder for the evidence of %(day)s was taken %(count)d times, last %(folder)s: "
            "is another close running? Else the storage names files otherwise than it is asked to."
        )
        % {"day": snapshot.day, "count": MAX_ATTEMPTS, "folder": taken}
    )


def _process_events(now: datetime) -> None:
    while inbox.process_pending(now=now, include_pausing=True):
        pass


@contextmanager
def _errors_for_staff() -> Iterator[None]:
    """Turn Stripe's errors, books out of balance and a missing tax status into `CloseFailed` for staff."""
    try:
        yield
    except TaxStatusMissing as error:
        raise CloseFailed(str(error)) from error
    except ForeignAccount as error:
        raise CloseFailed(
            _("This is not the Stripe account of the books: %(error)s.") % {"error": error}
        ) from error
    except StripeUnavailable as error:
        raise CloseFailed(
            _("Stripe does not answer, so nothing can be proved: %(error)s. Please try again later.")
            % {"error": error}
        ) from error
    except StripeRefused as error:
        raise CloseFailed(
            _("Stripe refused to answer, so nothing can be proved: %(error)s") % {"error": error}
        ) from error
    except (UnstableBalance, BooksUnbalanced) as error:
        raise CloseFailed(str(error)) from error


def _already_closed(close: DailyClose) -> CloseResult:
    """Return the result of a closed day: the report as it was stored, and what is still open now.

    The report is empty when it cannot be read.
    """
    folder = evidence.folder(close.day, close.run)
    return CloseResult(
        day=close.day,
        state=ALREADY_CLOSED,
        open=discrepancies.count_open(close.day),
        manifest_sha256=close.manifest_sha256,
        folder=folder,
        report=evidence.read_report(f"{folder}/report.json"),
    )


# ── Storing and locking ──────────────────────────────────────────────────────────────────────────────────


def _store_evidence(prepared: PreparedDay) -> int:
    """Store the files in the next free run folder and return its number.

    Raises `evidence.RunTaken`, and `CloseFailed` when the storage fails.
    """
    try:
        run = evidence.next_run(prepared.day)
        evidence.store(prepared.day, run, prepared.files)
    except evidence.RunTaken:
        raise
    except Exception as error:  # any error of a disk or of a storage library
        raise CloseFailed(
            _(
                "The evidence of %(day)s cannot be stored, so the day stays open: %(error)s. "
                "Please make room or repair the storage; the next run closes it."
            )
            % {"day": prepared.day, "error": error}
        ) from error
    return run


def _mark(prepared: PreparedDay, run: int) -> None:
    """Mark the run in the storage as the one of the close, and the day before if a crash prevented it.

    The day is closed: a storage that fails now is logged, and the next close tries again.
    """
    try:
        evidence.mark_closed(prepared.day, run, prepared.files[evidence.MANIFEST].sha256)
        if (before := prepared.previous) is not None:
            evidence.mark_closed(before.day, before.run, before.manifest_sha256)
    except Exception:  # any error of a disk or of a storage library
        logger.exception("the evidence of %s could not be marked as closed", prepared.day)


@unit_of_work
def _lock(prepared: PreparedDay, *, run: int, now: datetime) -> None:
    """Write the close in one transaction.

    Once its `DailyClose` row is inserted, no entry can be posted to the day. D1 has no locks. There, if an
    entry is posted to the day before this transaction commits, the commit fails, the transaction runs again,
    and the entries differ; one that is committed later is refused by a trigger. Both the count and the last
    key are compared: a row committed late may have a key lower than the last.

    Raises `_EntriesChanged`, and IntegrityError when the day is closed already.
    """
    day = prepared.day
    close = DailyClose(
        day=day,
        run=run,
        stripe_balance=prepared.report["proof"]["stripe_balance"],
        book_balance=prepared.report["proof"]["account_1150"],
        differences=prepared.report["differences"],
        manifest_sha256=prepared.files[evidence.MANIFEST].sha256,
        previous_sha256="" if prepared.previous is None else prepared.previous.manifest_sha256,
        closed_at=now,
    )
    close.save(force_insert=True)
    if entries_seen(day) != prepared.entries_seen:
        raise _EntriesChanged
    for difference in prepared.differences:
        is_of_object = difference.kind in discrepancies.KINDS_OF_OBJECTS
        note = discrepancies.note_object if is_of_object else discrepancies.note_discrepancy
        note(
            difference.kind,
            difference.object_id,
            day=day,
            amount=difference.amount,
            detail=difference.detail,
            now=now,
        )
    with queued_writes():  # these rows of a new close cannot fail
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
            EvidenceFile(
                close=close, path=evidence.path(day, run, name), sha256=content.sha256, size=content.size
            )
            for name, content in prepared.files.items()
        )
    close_mail.queue(prepared.report, folder=evidence.folder(day, run), head=close.manifest_sha256, now=now)
