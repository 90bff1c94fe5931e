"""Stripe's balance transactions: read, stored and posted, one database transaction for each."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import Max

from ledger import recognition, stripe_client
from ledger.days import business_day
from ledger.discrepancies import note
from ledger.models import BalanceTransaction, Discrepancy
from ledger.recognition import Known

if TYPE_CHECKING:
    import stripe

PAGE = 100
OVERLAP = timedelta(hours=2)  # read again what was read: Stripe may show a transaction after a younger one
PATIENCE = timedelta(hours=1)  # how long a charge may wait for the event that makes its payment
AHEAD = timedelta(days=1)  # our clock may be behind Stripe's


@dataclass(frozen=True)
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


@dataclass
class FetchResult:
    """What a fetch did."""

    seen: int = 0
    posted: int = 0
    waiting: list[str] = field(default_factory=list)  # charges whose event has not come yet


def reading_of(told: "stripe.BalanceTransaction") -> Reading:
    """Take from Stripe's object what we keep of it."""
    source = told.source
    return Reading(
        id=told.id,
        type=told.type,
        source=source if isinstance(source, str) else source.id if source is not None else "",
        amount=told.amount,
        fee=told.fee,
        fee_tax=sum(detail.amount for detail in told.fee_details if detail.type == "tax"),
        net=told.net,
        currency=told.currency,
        created=datetime.fromtimestamp(told.created, UTC),
        available_on=datetime.fromtimestamp(told.available_on, UTC),
        description=told.description or "",
    )


def read(created_from: datetime, created_until: datetime) -> list[Reading]:
    """List the balance transactions with from ≤ `created` < until at Stripe, oldest first.

    Raises `StripeUnavailable`, `StripeRefused`. A network call: never inside a transaction.
    """
    found = [
        reading_of(told) for told in stripe_client.list_balance_transactions(created_from, created_until)
    ]
    found.reverse()
    return sorted(found, key=lambda reading: reading.created)  # stable: Stripe's order within a second


def pages(readings: Iterable[Reading]) -> Iterator[list[Reading]]:
    """Cut readings into pages of at most a hundred."""
    rest = iter(readings)
    while page := list(islice(rest, PAGE)):
        yield page


def take_in(readings: Sequence[Reading], *, now: datetime, patience: timedelta | None = None) -> FetchResult:
    """Store and post the readings that are new, each in its own transaction. Safe twice and concurrently.

    With `patience`, a charge younger than that whose payment is not known yet is left for the next run: its event is
    on the way. Three queries for a page of a hundred, besides what is written.
    """
    result = FetchResult(seen=len(readings))
    for page in pages(readings):
        there = set(
            BalanceTransaction.objects.filter(pk__in=[reading.id for reading in page]).values_list(
                "pk", flat=True
            )
        )
        new = [reading for reading in page if reading.id not in there]
        rows = recognition.known({reading.source for reading in new}) if new else Known()
        for reading in new:
            if reading.currency != "jpy":
                note(
                    Discrepancy.Kind.UNKNOWN_TYPE,
                    reading.id,
                    day=business_day(reading.created),
                    detail=f"{reading.type} {reading.source} in {reading.currency}: our books know JPY only",
                    now=now,
                )
            elif patience is not None and reading.created > now - patience and _without_row(reading, rows):
                result.waiting.append(reading.id)
            elif _store(reading, rows, now):
                result.posted += 1
    return result


def _without_row(reading: Reading, rows: Known) -> bool:
    if reading.type in recognition.CHARGE_TYPES:
        return reading.source not in rows.payments
    if reading.type in recognition.REFUND_TYPES | recognition.REFUND_FAILURE_TYPES:
        return reading.source not in rows.refunds
    return False


def _store(reading: Reading, rows: Known, now: datetime) -> bool:
    """Store and post one reading; False when another process was faster."""
    try:
        with transaction.atomic():
            txn = BalanceTransaction(
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
            txn.save(force_insert=True)
            recognition.post_balance_transaction(txn, now=now, rows=rows)
    except IntegrityError:
        if not BalanceTransaction.objects.filter(pk=reading.id).exists():
            raise
        return False
    return True


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
