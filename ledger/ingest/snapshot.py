"""What Stripe says about a day and about its balance: read over the network, kept as values, no personal data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from sys import intern
from typing import Any

from kikaku.days import business_day, day_bounds
from ledger.ingest import balance
from ledger.ingest.balance import AHEAD, Reading
from ledger.stripe import client
from ledger.stripe.timestamps import from_timestamp


class BalanceMoves(Exception):
    """Stripe's balance kept changing while it was read; try again in a moment."""


@dataclass(frozen=True, slots=True)
class ChargeReading:
    """A charge as Stripe tells it; only what does not change later."""

    id: str
    amount: int
    amount_captured: int
    currency: str
    status: str
    payment_intent: str
    brand: str
    created: datetime


@dataclass(frozen=True, slots=True)
class RefundReading:
    """A refund as Stripe tells it."""

    id: str
    amount: int
    currency: str
    status: str
    charge: str
    failure_reason: str
    created: datetime


@dataclass(frozen=True)
class StripeDay:
    """Everything that Stripe says happened within a business day, oldest first."""

    day: date
    transactions: list[Reading]
    charges: list[ChargeReading]
    refunds: list[RefundReading]

    @property
    def net(self) -> int:
        """What the day's transactions changed Stripe's JPY balance by."""
        return net(self.transactions)


@dataclass
class Survey:
    """Stripe's balance at one moment, and what each day up to that moment changed it by (JPY)."""

    balance: int
    net: dict[date, int] = field(default_factory=dict)

    def at_cut(self, day: date) -> int:
        """Give Stripe's balance at the end of `day`: today's less everything that came after the cut."""
        return self.balance - sum(net for later, net in self.net.items() if later > day)


def net(transactions: list[Reading]) -> int:
    """Add up what transactions changed the JPY balance by."""
    return sum(reading.net for reading in transactions if reading.currency == "jpy")


def _charge(told: Mapping[str, Any]) -> ChargeReading:
    card = (told["payment_method_details"] or {}).get("card") or {}
    return ChargeReading(
        id=told["id"],
        amount=told["amount"],
        amount_captured=told["amount_captured"],
        currency=intern(told["currency"]),
        status=intern(told["status"]),
        payment_intent=told["payment_intent"] or "",
        brand=intern(card.get("brand") or ""),
        created=from_timestamp(told["created"]),
    )


def _refund(told: Mapping[str, Any]) -> RefundReading:
    return RefundReading(
        id=told["id"],
        amount=told["amount"],
        currency=told["currency"],
        status=told["status"] or "",
        charge=told["charge"] or "",
        failure_reason=told.get("failure_reason") or "",
        created=from_timestamp(told["created"]),
    )


def read_day(day: date, *, transactions: list[Reading] | None = None) -> StripeDay:
    """Read a day's transactions (unless they are given), charges and refunds at Stripe.

    Raises `StripeUnavailable`, `StripeRefused`. A network call: never inside a transaction.
    """
    start, end = day_bounds(day)
    return StripeDay(
        day=day,
        transactions=balance.read(start, end) if transactions is None else transactions,
        charges=sorted(
            (_charge(told) for told in client.list_charges(start, end)),
            key=lambda charge: (charge.created, charge.id),
        ),
        refunds=sorted(
            (_refund(told) for told in client.list_refunds(start, end)),
            key=lambda refund: (refund.created, refund.id),
        ),
    )


def survey(since: date, *, now: datetime, keep: Callable[[date, list[Reading]], None]) -> Survey:
    """Read Stripe's balance, with the transactions of every day from `since` up to this moment, day by day.

    Each day's readings are handed to `keep` and dropped, so that memory is bounded by one day. The balance is
    asked for between two readings of the newest day that agree, so that nothing slips in between; a payment that
    does makes it ask again.

    Raises `StripeUnavailable`, `StripeRefused`, and `BalanceMoves` after five vain tries.
    """
    today = max(business_day(now), since)
    found = Survey(balance=0)
    day = since
    while day < today:
        readings = balance.read(*day_bounds(day))
        keep(day, readings)
        found.net[day] = net(readings)
        day += timedelta(days=1)
    start, end = day_bounds(today)
    newest = balance.read(start, end + AHEAD)
    for _attempt in range(5):
        found.balance = client.retrieve_balance()
        again = balance.read(start, end + AHEAD)
        if [reading.id for reading in again] == [reading.id for reading in newest]:
            keep(today, newest)
            found.net[today] = net(newest)
            return found
        newest = again
    raise BalanceMoves("Stripe's balance kept changing while it was read. Please try again in a moment.")
