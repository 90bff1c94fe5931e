"""Snapshots of Stripe: what it says about a business day, and its balance at the end of that day."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Min, Sum
from django.utils.translation import gettext as _

from kikaku.days import business_day, day_bounds
from kikaku.transactions import forbid_transaction
from ledger.books import accounts, journal
from ledger.books.trial_balance import net_balance
from ledger.ingest import backfill, balance
from ledger.ingest.backfill import StripeAnswers
from ledger.ingest.readings import (
    ChargeReading,
    RefundReading,
    TransactionReading,
    net_change,
    read_charge,
    read_refund,
)
from ledger.models import BalanceTransaction, DailyClose
from ledger.stripe import client

MAX_BALANCE_READS = 5  # the balance is read again whenever a transaction came in meanwhile
MAX_LATE_DAYS = 31  # how far back to look for transactions that surfaced after their day was closed


class UnstableBalance(Exception):
    """Stripe's balance kept changing while it was read; try again in a moment."""


@dataclass(frozen=True)
class StripeSnapshot:
    """What Stripe says about a business day, oldest first."""

    day: date
    balance: int  # at the end of the day, JPY: available + pending
    transactions: Sequence[TransactionReading]
    charges: Sequence[ChargeReading]
    refunds: Sequence[RefundReading]
    # not in the books yet: of the next day, of the days after the run, and those that surfaced late
    other_days: Sequence[TransactionReading]
    answers: StripeAnswers  # about charges and refunds whose webhook has not arrived


@dataclass(frozen=True)
class _Survey:
    """Stripe's balance at one moment, and what each day from `first_day` up to it changed it by (JPY)."""

    first_day: date
    transactions: Sequence[TransactionReading]  # of the first day
    later: Sequence[TransactionReading]  # of the days after the run, not in the books yet
    nets: Mapping[date, int]
    balance: int

    def balance_at_end_of(self, day: date) -> int:
        """Return the balance less everything that came after the day."""
        return self.balance - sum(net for later, net in self.nets.items() if later > day)


def fetch_snapshots(days: Sequence[date], *, now: datetime) -> Iterator[StripeSnapshot]:
    """Yield the snapshot of each of some consecutive days, oldest first.

    The balance is read once. A day's objects are read when its snapshot is asked for, so memory holds two
    days of the run, and what the books do not know of the days after it. A transaction that surfaces
    meanwhile for the day makes the balance be read again.

    Raises `StripeUnavailable`, `StripeRefused`, `UnstableBalance`.
    """
    forbid_transaction()
    survey = _survey(days[0], now, run=days)
    nets: dict[date, int] = {}
    late: list[TransactionReading] = []
    for day, next_day in zip(days, [*days[1:], None], strict=True):
        transactions = survey.transactions if day == survey.first_day else balance.read(*day_bounds(day))
        while net_change(transactions) != survey.nets[day]:
            survey = _survey(day, now, run=days)
            transactions = survey.transactions
        nets[day] = survey.nets[day]
        missing = survey.balance_at_end_of(day) - _expected_book_balance(day, nets, late)
        surfaced = _read_late_transactions(day, missing) if missing else []
        late += surfaced
        upcoming = [] if next_day is None else balance.unstored(balance.read(*day_bounds(next_day)))
        charges, unmatched_charges = _read_charges(day)
        refunds, unmatched_refunds = _read_refunds(day)
        yield _with_answers(
            StripeSnapshot(
                day=day,
                balance=survey.balance_at_end_of(day),
                transactions=transactions,
                charges=charges,
                refunds=refunds,
                other_days=[*survey.later, *upcoming, *surfaced],
                answers=StripeAnswers(charges=[], refunds=[]),
            ),
            StripeAnswers(charges=unmatched_charges, refunds=unmatched_refunds),
        )
        survey = replace(survey, transactions=(), later=())  # the caller has recorded them


def _with_answers(snapshot: StripeSnapshot, listed: StripeAnswers) -> StripeSnapshot:
    """Add what no webhook has reported: of the lists what our rows do not agree with, the rest asked singly.

    Such as a refund that waits in Stripe's dashboard. An object that a list has brought is not asked for.
    """
    charges = {charge.id for charge in snapshot.charges}
    compared = charges | {refund.id for refund in snapshot.refunds}
    others = [reading for reading in snapshot.transactions if reading.source not in compared]
    unknown_charges, unknown_refunds = balance.unknown_sources(
        balance.unstored([*others, *snapshot.other_days])
    )
    of_refunds = backfill.without_payment(
        refund["charge"] for refund in listed.refunds if refund["charge"] and refund["charge"] not in charges
    )
    asked = backfill.ask(
        charges=[charge for charge in (*unknown_charges, *of_refunds) if charge not in charges],
        refunds=[refund for refund in unknown_refunds if refund not in compared],
    )
    return replace(
        snapshot,
        answers=StripeAnswers(
            charges=[*listed.charges, *asked.charges], refunds=[*listed.refunds, *asked.refunds]
        ),
    )


def _read_charges(day: date) -> tuple[list[ChargeReading], list[dict[str, Any]]]:
    """Return the charges of a day, and the whole objects of those that our payments do not equal."""
    charges: list[ChargeReading] = []
    unmatched: list[dict[str, Any]] = []
    for page in _batched(client.list_charges(*day_bounds(day))):
        answers = {answer["id"]: answer for answer in page}
        read = [read_charge(answer) for answer in page]
        charges += read
        unmatched += [answers[charge.id] for charge, _ours in backfill.unmatched_charges(read)]
    return sorted(charges, key=lambda charge: (charge.created, charge.id)), unmatched


def _read_refunds(day: date) -> tuple[list[RefundReading], list[dict[str, Any]]]:
    """Return the refunds of a day, and the whole objects of those that our refunds do not equal."""
    refunds: list[RefundReading] = []
    unmatched: list[dict[str, Any]] = []
    for page in _batched(client.list_refunds(*day_bounds(day))):
        answers = {answer["id"]: answer for answer in page}
        read = [read_refund(answer) for answer in page]
        refunds += read
        unmatched += [answers[refund.id] for refund, _ours in backfill.unmatched_refunds(read)]
    return sorted(refunds, key=lambda refund: (refund.created, refund.id)), unmatched


def _batched(answers: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Split a list of Stripe into parts whose ids fit into one query."""
    while part := list(islice(answers, backfill.IDS_PER_QUERY)):
        yield part


def _survey(first_day: date, now: datetime, *, run: Collection[date]) -> _Survey:
    """Read Stripe's balance, and the transactions of every day from `first_day` up to now, day by day.

    Of the days of the run only the first is kept: each of the others is read again for its own snapshot.

    The balance is read between two readings of the newest day that agree, so that no transaction is missed
    between. Raises `UnstableBalance` after five attempts.
    """
    nets: dict[date, int] = {}
    first: Sequence[TransactionReading] = ()
    later: list[TransactionReading] = []
    today = max(business_day(now), first_day)
    day = first_day
    while day < today:
        readings = balance.read(*day_bounds(day))
        nets[day] = net_change(readings)
        if day == first_day:
            first = readings
        elif day not in run:
            later += balance.unstored(readings)
        day += timedelta(days=1)
    start, end = day_bounds(today)
    newest = balance.read(start, end + balance.CLOCK_TOLERANCE)
    for _attempt in range(MAX_BALANCE_READS):
        stripe_balance = client.retrieve_balance()
        again = balance.read(start, end + balance.CLOCK_TOLERANCE)
        if [reading.id for reading in again] == [reading.id for reading in newest]:
            nets[today] = net_change(newest)
            if today == first_day:
                first = newest
            else:
                later += balance.unstored(newest)
            return _Survey(first_day, first, later, nets, stripe_balance)
        newest = again
    raise UnstableBalance(
        _("Stripe's balance kept changing while it was read. Please try again in a moment.")
    )


def _expected_book_balance(day: date, nets: Mapping[date, int], late: Sequence[TransactionReading]) -> int:
    """Return what account 1150 will be at the end of `day` (JPY) once this run's transactions are recorded.

    `nets` are the days of the run up to `day`, `late` the transactions that surfaced before them.
    """
    last_closed = journal.last_closed_day() or date.min
    to_record = sum(net for of, net in nets.items() if of > last_closed)
    recorded = BalanceTransaction.objects.filter(
        day__gt=last_closed, day__gte=min(nets), day__lte=day, other_balance__isnull=True
    ).aggregate(sum=Sum("net"))
    booked = net_balance(accounts.STRIPE_BALANCE, until=day)
    return booked + to_record - (recorded["sum"] or 0) + net_change(balance.unstored(late))


def _read_late_transactions(day: date, missing: int) -> list[TransactionReading]:
    """Read the days before `day` again, newest first; return what is not stored.

    One of their transactions may have surfaced after its day was closed. Stops when `missing` (JPY) is
    explained.
    """
    first_days = (
        BalanceTransaction.objects.aggregate(first=Min("day"))["first"],
        DailyClose.objects.aggregate(first=Min("day"))["first"],
    )
    begin = max(
        min((first for first in first_days if first is not None), default=day),
        day - timedelta(days=MAX_LATE_DAYS),
    )
    found: list[TransactionReading] = []
    while day > begin and net_change(found) != missing:
        day -= timedelta(days=1)
        found += balance.unstored(balance.read(*day_bounds(day)))
    return found
