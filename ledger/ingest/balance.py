"""Stripe's balance transactions: read, stored and posted, a page of them in one database transaction.

A transaction may be read before the webhook that tells of its payment, or that webhook may never come. Stripe is then
asked for the charge or refund itself, so that no money of an order is posted without the order.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from sys import intern
from typing import Any

from django.db import OperationalError, connection
from django.db.models import Max

from kikaku.days import business_day
from kikaku.transactions import unit_of_work
from ledger.books import balance_postings, bulk
from ledger.books.balance_postings import LocalRows
from ledger.books.discrepancies import note_discrepancy
from ledger.models import BalanceTransaction, Discrepancy, Refund
from ledger.sales import payments, refund_status
from ledger.stripe import captures, client
from ledger.stripe.captures import CapturedPayment
from ledger.stripe.client import StripeRefused
from ledger.stripe.timestamps import from_timestamp

logger = logging.getLogger(__name__)

PAGE = 200  # at most; an engine that binds fewer parameters gets smaller ones
COLUMNS = tuple(field.attname for field in BalanceTransaction._meta.concrete_fields)
CELLS = attrgetter(*COLUMNS)
OVERLAP = timedelta(hours=2)  # read again what was read: Stripe may show a transaction after a younger one
PATIENCE = timedelta(hours=1)  # how long a charge may wait for the event that makes its payment
AHEAD = timedelta(days=1)  # our clock may be behind Stripe's


@dataclass(frozen=True, slots=True)
class Reading:
    """A balance transaction as Stripe tells it: the fields that we keep, no personal data. JPY, UTC instants."""

    id: str
    type: str
    source: str
    amount: int
    fee: int
    fee_tax: int
    net: int
    currency: str
    created: datetime
    available_on: datetime
    description: str


@dataclass(frozen=True)
class Told:
    """What Stripe answered about charges and refunds that our rows did not know."""

    charges: list[dict[str, Any]]
    refunds: list[dict[str, Any]]


@dataclass
class FetchResult:
    """What a fetch did."""

    seen: int = 0
    posted: int = 0
    waiting: list[str] = field(default_factory=list)  # charges whose event has not come yet


def reading_of(told: Mapping[str, Any]) -> Reading:
    """Take from Stripe's object what we keep of it."""
    return Reading(
        id=told["id"],
        type=intern(told["type"]),
        source=told["source"] or "",
        amount=told["amount"],
        fee=told["fee"],
        fee_tax=sum(detail["amount"] for detail in told["fee_details"] if detail["type"] == "tax"),
        net=told["net"],
        currency=intern(told["currency"]),
        created=from_timestamp(told["created"]),
        available_on=from_timestamp(told["available_on"]),
        description=told["description"] or "",
    )


def read(created_from: datetime, created_until: datetime) -> list[Reading]:
    """List the balance transactions with from ≤ `created` < until at Stripe, oldest first.

    Raises `StripeUnavailable`, `StripeRefused`. A network call: never inside a transaction.
    """
    found = [reading_of(told) for told in client.list_balance_transactions(created_from, created_until)]
    found.reverse()
    return sorted(found, key=lambda reading: reading.created)  # stable: Stripe's order within a second


def pages(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Cut readings into pages whose ids can be asked for in one query, besides a few other parameters."""
    rest = iter(readings)
    bound = connection.features.max_query_params
    size = PAGE if bound is None else min(PAGE, bound - 10)
    while page := list(islice(rest, size)):
        yield page


def take_in(
    readings: Sequence[Reading], *, now: datetime, patience: timedelta | None = None, ask: bool = True
) -> FetchResult:
    """Store and post the readings that are new, page by page. Safe twice and concurrently.

    With `patience`, a charge younger than that whose payment is not known yet is left for the next run: its event is
    on the way. Stripe is asked for the others (`ask=False`: inside a transaction, where no network call belongs).
    Three queries for a page, besides what is written. Raises `StripeUnavailable` when it must ask.
    """
    result = FetchResult(seen=len(readings))
    for page in pages(readings):
        there = set(
            BalanceTransaction.objects.filter(pk__in=[reading.id for reading in page]).values_list(
                "pk", flat=True
            )
        )
        new = [reading for reading in page if reading.id not in there]
        rows = _rows(new)
        waits = {
            reading.id
            for reading in new
            if patience is not None and reading.created > now - patience and _without_row(reading, rows)
        }
        strangers = [reading for reading in new if reading.id not in waits and _without_row(reading, rows)]
        if ask and strangers:
            learn(ask_about(strangers), now=now)
            rows = _rows(new)
        fresh = []
        for reading in new:
            if reading.currency != "jpy":
                note_discrepancy(
                    Discrepancy.Kind.UNKNOWN_TYPE,
                    reading.id,
                    day=business_day(reading.created),
                    detail=f"{reading.type} {reading.source} in {reading.currency}: our books know JPY only",
                    now=now,
                )
            elif reading.id in waits:
                result.waiting.append(reading.id)
            else:
                fresh.append(reading)
        result.posted += _store(fresh, rows, now) if fresh else 0
    return result


def _rows(readings: Sequence[Reading]) -> LocalRows:
    return (
        balance_postings.load_local_rows({reading.source for reading in readings})
        if readings
        else LocalRows()
    )


def unknown(readings: Iterable[Reading]) -> list[Reading]:
    """Give the readings that are not stored and whose charge or refund no row of ours knows."""
    found = []
    for page in pages(readings):
        there = BalanceTransaction.objects.in_bulk([reading.id for reading in page])
        rows = _rows(page)
        found += [reading for reading in page if reading.id not in there and _without_row(reading, rows)]
    return found


def ask_about(readings: Iterable[Reading]) -> Told:
    """Ask Stripe for the charges and refunds behind some readings, as `ask` does."""
    charges: list[str] = []
    others: list[str] = []
    for reading in readings:
        (charges if reading.type in balance_postings.CHARGE_TYPES else others).append(reading.source)
    return ask(charges=charges, refunds=others)


def ask(*, charges: Iterable[str], refunds: Iterable[str]) -> Told:
    """Ask Stripe for some charges and refunds by their ids, one call each. Never inside a transaction.

    A refund brings its charge along: it may be booked before the charge is, and before anybody told of either.
    What Stripe refuses to show stays unknown. Raises `StripeUnavailable`.
    """
    told = list(_shown(refunds, client.retrieve_refund))
    behind = dict.fromkeys([*charges, *(refund["charge"] for refund in told if refund["charge"])])
    return Told(charges=list(_shown(behind, client.retrieve_charge)), refunds=told)


def _shown(ids: Iterable[str], retrieve: Callable[[str], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in ids:
        try:
            yield retrieve(each)
        except StripeRefused as error:
            logger.warning("Stripe does not show %s: %s", each, error)


def learn(told: Told, *, now: datetime) -> None:
    """Write down payments and refunds that no webhook told of yet, as it would; strangers stay strangers."""
    for charge in told.charges:
        captured = captures.read_charge(charge)
        if captured is not None and payments.find_attempt(captured.metadata) is not None:
            _record_payment(captured, now=now)
    for refund in told.refunds:
        with suppress(refund_status.UnknownPayment):
            _apply_stripe_refund(refund, now=now)


@unit_of_work
def _record_payment(captured: CapturedPayment, *, now: datetime) -> None:
    payments.record_payment(captured, now=now)


@unit_of_work
def _apply_stripe_refund(stripe_refund: Mapping[str, Any], *, now: datetime) -> None:
    refund_status.apply_stripe_refund(stripe_refund, now=now)


def _without_row(reading: Reading, rows: LocalRows) -> bool:
    """Tell whether our rows do not know of the payment, the refund, or its failure yet."""
    if reading.currency != "jpy":
        return False
    if reading.type in balance_postings.CHARGE_TYPES:
        return reading.source not in rows.payments
    if balance_postings.is_refund(reading.type, reading.amount):
        return reading.source not in rows.refunds
    if balance_postings.is_refund_failure(reading.type, reading.amount):
        refund = rows.refunds.get(reading.source)
        return refund is None or refund.status not in Refund.FAILED_STATUSES
    return False


def _store(readings: Sequence[Reading], rows: LocalRows, now: datetime) -> int:
    """Store and post a page of readings together; returns how many were new.

    One by one when that fails: another process was faster with some of them, or one can not be posted; the others
    are, before its error is raised. A database that does not work ends it at once, for each would wait as long for it.
    """
    try:
        return _store_together(readings, rows, now)
    except Exception:
        if len(readings) == 1:
            if not BalanceTransaction.objects.filter(pk=readings[0].id).exists():
                raise
            return 0
    stored = 0
    failure: Exception | None = None
    for reading in readings:
        try:
            stored += _store([reading], rows, now)
        except OperationalError:
            raise
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return stored


@unit_of_work
def _store_together(readings: Sequence[Reading], rows: LocalRows, now: datetime) -> int:
    txns = [
        BalanceTransaction(
            id=reading.id,
            type=reading.type,
            source=reading.source,
            amount=reading.amount,
            fee=reading.fee,
            fee_tax=reading.fee_tax,
            net=reading.net,
            created=reading.created,
            available_on=reading.available_on,
            day=business_day(reading.created),
            description=reading.description[:300],
        )
        for reading in readings
    ]
    bulk.insert(BalanceTransaction, COLUMNS, [CELLS(txn) for txn in txns])
    balance_postings.post_balance_transactions(txns, now=now, rows=rows)
    return len(txns)


def fetch(*, created_from: datetime, created_until: datetime, now: datetime) -> FetchResult:
    """Fetch the transactions with from ≤ `created` < until and post those that are new, whatever they are.

    Raises `StripeUnavailable`, `StripeRefused`; what was stored before stays and is not fetched twice.
    """
    return take_in(read(created_from, created_until), now=now)


def fetch_new(*, now: datetime) -> FetchResult:
    """Fetch what is new since the last known transaction, two hours before it included; the job's way.

    The first fetch of all goes back 30 days; older ones belong to the opening balance or to the daily close.
    """
    last: datetime | None = BalanceTransaction.objects.aggregate(last=Max("created"))["last"]
    since = min(last, now) - OVERLAP if last is not None else now - timedelta(days=30)
    return take_in(read(since, now + AHEAD), now=now, patience=PATIENCE)
