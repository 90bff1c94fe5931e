"""Snapshots of Stripe: what it says about a business day, and its balance at the end of that day."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.db.models import Min, Sum

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
    other_days: Sequence[TransactionReading]  # not in the books yet: later ones, and those that surfaced late
    answers: StripeAnswers  # about charges and refunds whose webhook has not arrived


@dataclass(frozen=True)
class _Survey:
    """Stripe's balance at one moment, and what each day from `first_day` up to it changed it by (JPY)."""

    first_day: date
    transactions: Sequence[TransactionReading]  # of the first day
    later: Sequence[TransactionReading]  # of the other days, not in the books yet
    nets: Mapping[date, int]
    balance: int

    def balance_at_end_of(self, day: date) -> int:
        """Return the balance less everything that came after the day."""
        return self.balance - sum(net for later, net in self.nets.items() if later > day)


def fetch_snapshots(days: Sequence[date], *, now: datetime) -> Iterator[StripeSnapshot]:
    """Yield the snapshot of each of some consecutive days, oldest first.

    The balance is read once. A day's objects are read when its snapshot is asked for, so memory holds one
    day and what the books do not know yet. A transaction that surfaces meanwhile for the day makes the
    balance be read again.

    Raises `StripeUnavailable`, `StripeRefused`, `UnstableBalance`.
    """
    forbid_transaction()
    survey = _survey(days[0], now)
    nets: dict[date, int] = {}
    late: list[TransactionReading] = []
    for day in days:
        transactions = survey.transactions if day == survey.first_day else balance.read(*day_bounds(day))
        while net_change(transactions) != survey.nets[day]:
            survey = _survey(day, now)
            transactions = survey.transactions
        nets[day] = survey.nets[day]
        missing = survey.balance_at_end_of(day) - _expected_book_balance(day, nets, late)
        surfaced = _read_late_transactions(day, missing) if missing else []
        late += surfaced
        yield _with_answers(
            StripeSnapshot(
                day=day,
                balance=survey.balance_at_end_of(day),
                transactions=transactions,
                charges=_read_charges(day),
                refunds=_read_refunds(day),
                other_days=[*survey.later, *surfaced],
                answers=StripeAnswers(charges=[], refunds=[]),
            )
        )
        survey = replace(survey, transactions=(), later=())  # the caller has recorded them


def missing_webhooks(snapshot: StripeSnapshot) -> tuple[list[str], list[str]]:
    """Return the charges and the refunds of a snapshot that our rows do not know, or know otherwise."""
    charges = [charge.id for charge, _ours in backfill.unmatched_charges(snapshot.charges)]
    refunds = [refund.id for refund, _ours in backfill.unmatched_refunds(snapshot.refunds)]
    compared = {charge.id for charge in snapshot.charges if charge.status == "succeeded"}
    compared.update(refund.id for refund in snapshot.refunds)
    others = [reading for reading in snapshot.transactions if reading.source not in compared]
    unknown_charges, unknown_refunds = balance.unknown_sources(
        balance.unstored([*others, *snapshot.other_days])
    )
    return charges + unknown_charges, refunds + unknown_refunds


def _with_answers(snapshot: StripeSnapshot) -> StripeSnapshot:
    """Ask Stripe about what no webhook has reported, such as a refund that waits in its dashboard."""
    charges, refunds = missing_webhooks(snapshot)
    return replace(snapshot, answers=backfill.ask(charges=charges, refunds=refunds))


def _read_charges(day: date) -> list[ChargeReading]:
    charges = (read_charge(answer) for answer in client.list_charges(*day_bounds(day)))
    return sorted(charges, key=lambda charge: (charge.created, charge.id))


def _read_refunds(day: date) -> list[RefundReading]:
    refunds = (read_refund(answer) for answer in client.list_refunds(*day_bounds(day)))
    return sorted(refunds, key=lambda refund: (refund.created, refund.id))


def _survey(first_day: date, now: datetime) -> _Survey:
    """Read Stripe's balance, and the transactions of every day from `first_day` up to now, day by day.

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
        else:
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
    raise UnstableBalance("Stripe's balance kept changing while it was read. Please try again in a moment.")


def _expected_book_balance(day: date, nets: Mapping[date, int], late: Sequence[TransactionReading]) -> int:
    """Return what account 1150 will be at the end of `day` (JPY) once this run's transactions are recorded.

    `nets` are the days of the run up to `day`, `late` the transactions that surfaced before them.
    """
    last_closed = journal.last_closed_day() or date.min
    to_record = sum(net for of, net in nets.items() if of > last_closed)
    recorded = BalanceTransaction.objects.filter(
        day__gt=last_closed, day__gte=min(nets), day__lte=day
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
