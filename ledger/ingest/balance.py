"""Stripe's balance transactions: read, stored and posted, a page of them in one database transaction.

A transaction may be read before the webhook of its payment arrives, and that webhook may never arrive.
Stripe is then asked for the charge or refund itself, so that no money of an order is posted without the
order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter

from django.db import OperationalError, connection
from django.db.models import Max

from kikaku.days import business_day
from kikaku.money import yen
from kikaku.transactions import forbid_transaction, unit_of_work
from ledger.books import balance_postings, bulk
from ledger.books.balance_postings import LocalRows
from ledger.books.discrepancies import note_discrepancy, note_unknown_money
from ledger.books.journal import first_open_day, last_closed_day
from ledger.books.tax_rules import TaxStatusMissing
from ledger.books.transaction_names import type_name
from ledger.ingest.backfill import ask, backfill
from ledger.ingest.readings import TransactionReading, read_transaction
from ledger.models import BalanceTransaction, Discrepancy, Refund
from ledger.stripe import client

PAGE_SIZE = 200  # readings, at most; smaller where the engine binds fewer parameters
TRANSACTION_COLUMNS = tuple(field.attname for field in BalanceTransaction._meta.concrete_fields)
ROW_VALUES = attrgetter(*TRANSACTION_COLUMNS)
REFETCH_OVERLAP = timedelta(hours=2)  # fetched again: Stripe may show a transaction after a younger one
WEBHOOK_GRACE_PERIOD = timedelta(minutes=2)  # how long a charge may wait for the event of its payment
CLOCK_TOLERANCE = timedelta(days=1)  # our clock may be behind Stripe's
FIRST_FETCH = timedelta(days=30)


@dataclass
class FetchResult:
    """What a fetch did."""

    seen: int = 0
    posted: int = 0
    waiting: list[str] = field(default_factory=list)  # transactions whose event has not arrived yet


def fetch(*, created_from: datetime, created_until: datetime, now: datetime) -> FetchResult:
    """Fetch the transactions with from ≤ `created` < until and post those that are new.

    Raises `StripeUnavailable`, `StripeRefused`. What was stored before the error stays stored.
    """
    return record_transactions(read(created_from, created_until), now=now)


def fetch_new(*, now: datetime) -> FetchResult:
    """Fetch and post the transactions since the last known one; the two hours before it are fetched again.

    The first fetch goes back 30 days. Older transactions belong to the opening balance or to the daily close.
    Raises as `fetch` does.
    """
    last: datetime | None = BalanceTransaction.objects.aggregate(last=Max("created"))["last"]
    since = now - FIRST_FETCH if last is None else min(last, now) - REFETCH_OVERLAP
    readings = read(since, now + CLOCK_TOLERANCE)
    return record_transactions(readings, now=now, grace_period=WEBHOOK_GRACE_PERIOD)


def read(created_from: datetime, created_until: datetime) -> list[TransactionReading]:
    """Return Stripe's balance transactions with from ≤ `created` < until, oldest first.

    Raises `StripeUnavailable`, `StripeRefused`.
    """
    forbid_transaction()
    answers = client.list_balance_transactions(created_from, created_until)
    readings = [read_transaction(answer) for answer in answers]
    readings.reverse()  # Stripe lists the newest first; the sort is stable: keeps order within a second
    return sorted(readings, key=lambda reading: reading.created)


# ── Our rows behind a transaction ────────────────────────────────────────────────────────────────────────


def unstored(readings: Iterable[TransactionReading]) -> list[TransactionReading]:
    """Return the readings that are not stored. One query a page."""
    return [reading for page in _pages(readings) for reading in _unstored_of(page)]


def unknown_sources(readings: Iterable[TransactionReading]) -> tuple[list[str], list[str]]:
    """Return the charges and the refunds behind readings that no row of ours knows. Two queries a page."""
    unknown: list[TransactionReading] = []
    for page in _pages(readings):
        rows = _local_rows(page)
        unknown += [reading for reading in page if _lacks_row(reading, rows)]
    return _split_sources(unknown)


def _pages(readings: Iterable[TransactionReading]) -> Iterator[list[TransactionReading]]:
    """Split readings into pages whose ids fit into one query, besides a few other parameters."""
    rest = iter(readings)
    bound = connection.features.max_query_params
    size = PAGE_SIZE if bound is None else min(PAGE_SIZE, bound - 10)
    while page := list(islice(rest, size)):
        yield page


def _unstored_of(page: Sequence[TransactionReading]) -> list[TransactionReading]:
    stored = set(
        BalanceTransaction.objects.filter(pk__in=[reading.id for reading in page]).values_list(
            "pk", flat=True
        )
    )
    return [reading for reading in page if reading.id not in stored]


def _local_rows(readings: Sequence[TransactionReading]) -> LocalRows:
    if not readings:
        return LocalRows()
    return balance_postings.load_local_rows({reading.source for reading in readings})


def _lacks_row(reading: TransactionReading, rows: LocalRows) -> bool:
    """Return whether our rows do not know the payment, the refund, or its failure yet."""
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


def _split_sources(readings: Iterable[TransactionReading]) -> tuple[list[str], list[str]]:
    """Return the ids of the charges behind readings, and those of the refunds."""
    charges: list[str] = []
    refunds: list[str] = []
    for reading in readings:
        if reading.type in balance_postings.CHARGE_TYPES:
            charges.append(reading.source)
        else:
            refunds.append(reading.source)
    return charges, refunds


# ── Recording ────────────────────────────────────────────────────────────────────────────────────────────


def record_transactions(
    readings: Sequence[TransactionReading],
    *,
    now: datetime,
    grace_period: timedelta | None = None,
    ask_stripe: bool = True,
) -> FetchResult:
    """Store and post the readings that are new, page by page. Idempotent, also among concurrent calls.

    With `grace_period`, a charge younger than that whose payment is not known yet is left for the next run:
    its event is on its way. Stripe is asked for the other unknown charges and refunds, unless `ask_stripe`
    is false, as in the daily close, whose snapshot contains Stripe's answers. Three queries a page, besides
    what is written. Raises `StripeUnavailable` when Stripe must be asked.
    """
    result = FetchResult(seen=len(readings))
    for page in _pages(readings):
        new = _unstored_of(page)
        rows = _local_rows(new)
        unknown = [reading for reading in new if _lacks_row(reading, rows)]
        young = {
            reading.id
            for reading in unknown
            if grace_period is not None and reading.created > now - grace_period
        }
        charges, refunds = _split_sources(reading for reading in unknown if reading.id not in young)
        if ask_stripe and (charges or refunds):
            backfill(ask(charges=charges, refunds=refunds), now=now)
            rows = _local_rows(new)
        to_store = []
        for reading in new:
            if reading.currency != "jpy":
                note_unknown_money(
                    reading.source or reading.id,
                    amount=reading.amount,
                    currency=reading.currency,
                    day=business_day(reading.created),
                    detail=f"外貨の取引 {type_name(reading.type)}（{reading.id}、帳簿は円のみ）",
                    now=now,
                )
            elif reading.id in young:
                result.waiting.append(reading.id)
            else:
                to_store.append(reading)
        result.posted += _store(to_store, rows, now) if to_store else 0
    return result


def _store(readings: Sequence[TransactionReading], rows: LocalRows, now: datetime) -> int:
    """Store and post a page of readings together; return how many were new.

    When that fails, because another process stored some of them or one cannot be posted, they are stored
    one by one, and the first error is raised at the end. `TaxStatusMissing` and `OperationalError` are raised
    at once: each further attempt would fail in the same way, or run into the same time limit.
    """
    try:
        return _store_together(readings, rows, now)
    except TaxStatusMissing:
        raise
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
def _store_together(readings: Sequence[TransactionReading], rows: LocalRows, now: datetime) -> int:
    txns = [
        BalanceTransaction(
            id=reading.id,
            type=reading.type,
            source=reading.source,
            amount=reading.amount,
            fee=reading.fee,
            fee_tax=reading.fee_tax,
            fee_taxed=reading.fee_taxed,
            taxable_fee=reading.taxable_fee,
            net=reading.net,
            other_balance=reading.other_balance or None,
            created=reading.created,
            available_on=reading.available_on,
            day=business_day(reading.created),
            description=reading.description[:300],
        )
        for reading in readings
    ]
    bulk.insert(BalanceTransaction, TRANSACTION_COLUMNS, [ROW_VALUES(txn) for txn in txns])
    balance_postings.post_balance_transactions(txns, now=now, rows=rows)
    for reading in readings:
        if reading.is_fee_doubtful:
            note_discrepancy(
                Discrepancy.Kind.FEE_TAX,
                reading.id,
                day=first_open_day(business_day(reading.created), last_closed=last_closed_day()),
                detail=f"手数料 {yen(reading.fee)} の税 {yen(reading.fee_tax)} に対応する内訳がない："
                f"課税分を税額から {yen(reading.taxable_fee)} とした",
                now=now,
            )
    return len(txns)
