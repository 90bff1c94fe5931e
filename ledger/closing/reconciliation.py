"""Compare a day one by one, in both directions: Stripe's transactions, charges and refunds with our rows. ¥0 tolerance."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models import Exists, OuterRef

from kikaku.days import day_bounds
from ledger.ingest.balance import Reading
from ledger.ingest.snapshot import ChargeReading, RefundReading, StripeDay
from ledger.models import BalanceTransaction, Discrepancy, Order, Payment, Refund

CHUNK = 100  # ids per query: Cloudflare D1 binds no more
ROWS = 2000  # read from the database at once
ENDED_BADLY = frozenset({"failed", "canceled"})


@dataclass(frozen=True)
class Difference:
    """What does not agree: a discrepancy to be."""

    kind: str  # Discrepancy.Kind
    object_id: str
    amount: int = 0  # Stripe's less ours, JPY
    detail: str = ""


def compare(facts: StripeDay) -> list[Difference]:
    """Give every difference of a day between Stripe and our rows, after both were caught up."""
    return [
        *_transactions(facts),
        *_charges(facts.charges),
        *_payments(facts),
        *_paid_orders(facts),
        *_refunds(facts.refunds),
        *_own_refunds(facts),
    ]


def unheard(facts: StripeDay) -> tuple[list[str], list[str]]:
    """Give the charges and the refunds of a day that our rows do not know, or not so: their events are late or lost."""
    return (
        [difference.object_id for difference in _charges(facts.charges)],
        [difference.object_id for difference in _refunds(facts.refunds)],
    )


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _transactions(facts: StripeDay) -> Iterator[Difference]:
    """Compare the listed transactions with the stored ones, field by field."""
    told = {reading.id: reading for reading in facts.transactions if reading.currency == "jpy"}
    stored = BalanceTransaction.objects.filter(day=facts.day).order_by("created", "id")
    for pk, kind, source, amount, fee, fee_tax, net, created in stored.values_list(
        "id", "type", "source", "amount", "fee", "fee_tax", "net", "created"
    ).iterator(ROWS):
        ours = (kind, source, amount, fee, fee_tax, net, created)
        reading = told.pop(pk, None)
        if reading is None:
            yield Difference(
                Discrepancy.Kind.MISSING_AT_STRIPE,
                pk,
                -net,
                f"{kind} {source} is not in Stripe's list of the day",
            )
        elif ours != (theirs := _fields(reading)):
            yield Difference(
                Discrepancy.Kind.AMOUNT,
                pk,
                reading.net - net,
                f"Stripe says {theirs}, our books {ours}",
            )
    for reading in told.values():
        yield Difference(
            Discrepancy.Kind.MISSING_IN_BOOKS, reading.id, reading.net, f"{reading.type} {reading.source}"
        )


def _fields(reading: Reading) -> tuple[str, str, int, int, int, int, datetime]:
    return (
        reading.type,
        reading.source,
        reading.amount,
        reading.fee,
        reading.fee_tax,
        reading.net,
        reading.created,
    )


def _charges(charges: Sequence[ChargeReading]) -> Iterator[Difference]:
    """Find the payment of each charge that captured money."""
    captured = {charge.id: charge for charge in charges if charge.status == "succeeded"}
    for chunk in _chunks(captured):
        ours = dict(Payment.objects.filter(charge__in=chunk).values_list("charge", "amount"))
        for charge_id in chunk:
            charge = captured[charge_id]
            if charge_id not in ours:
                yield Difference(
                    Discrepancy.Kind.MISSING_IN_BOOKS,
                    charge_id,
                    charge.amount_captured,
                    f"charge {charge_id} has no payment of ours",
                )
            elif ours[charge_id] != charge.amount_captured or charge.currency != "jpy":
                yield Difference(
                    Discrepancy.Kind.AMOUNT,
                    charge_id,
                    charge.amount_captured - ours[charge_id],
                    f"Stripe captured {charge.amount_captured} {charge.currency}, our payment says {ours[charge_id]}",
                )


def _payments(facts: StripeDay) -> Iterator[Difference]:
    """Find the charge of each payment of the day, here or among the transactions of a neighbouring day."""
    listed = {charge.id for charge in facts.charges if charge.status == "succeeded"}
    start, end = day_bounds(facts.day)
    payments = Payment.objects.filter(captured_at__gte=start, captured_at__lt=end).order_by(
        "captured_at", "pk"
    )
    for charge, intent, amount in payments.values_list("charge", "payment_intent", "amount").iterator(ROWS):
        if charge in listed or BalanceTransaction.objects.filter(source=charge).exists():
            continue
        yield Difference(
            Discrepancy.Kind.MISSING_AT_STRIPE,
            charge or intent,
            -amount,
            f"payment {intent} has no succeeded charge at Stripe",
        )


def _paid_orders(facts: StripeDay) -> Iterator[Difference]:
    """Find the payment of each order that became paid within the day."""
    start, end = day_bounds(facts.day)
    unpaid = Order.objects.filter(paid_at__gte=start, paid_at__lt=end).exclude(
        Exists(Payment.objects.filter(order=OuterRef("pk"), amount=OuterRef("total")))
    )
    for order in unpaid.order_by("pk").iterator(ROWS):
        yield Difference(
            Discrepancy.Kind.MISSING_AT_STRIPE,
            order.number,
            -order.total,
            f"order {order.number} is paid, but has no payment of {order.total}",
        )


def _refunds(refunds: Sequence[RefundReading]) -> Iterator[Difference]:
    """Find our refund for each one at Stripe."""
    told = {refund.id: refund for refund in refunds}
    for chunk in _chunks(told):
        ours = {str(refund.stripe_id): refund for refund in Refund.objects.filter(stripe_id__in=chunk)}
        for refund_id in chunk:
            theirs, row = told[refund_id], ours.get(refund_id)
            if row is None:
                yield Difference(
                    Discrepancy.Kind.MISSING_IN_BOOKS,
                    refund_id,
                    -theirs.amount,
                    f"refund {refund_id} is none of ours",
                )
            elif row.amount != theirs.amount:
                yield Difference(
                    Discrepancy.Kind.AMOUNT,
                    refund_id,
                    row.amount - theirs.amount,
                    f"Stripe refunded {theirs.amount}, our refund says {row.amount}",
                )
            elif (row.status in ENDED_BADLY) != (theirs.status in ENDED_BADLY):
                yield Difference(
                    Discrepancy.Kind.AMOUNT,
                    refund_id,
                    0,
                    f"Stripe says {theirs.status}, our refund says {row.status}",
                )


def _own_refunds(facts: StripeDay) -> Iterator[Difference]:
    """Find the transaction of each refund that our rows call succeeded."""
    start, end = day_bounds(facts.day)
    listed = {refund.id for refund in facts.refunds}
    ours = Refund.objects.filter(
        requested_at__gte=start, requested_at__lt=end, status=Refund.Status.SUCCEEDED
    ).annotate(moved=Exists(BalanceTransaction.objects.filter(source=OuterRef("stripe_id"))))
    for refund in ours.order_by("pk").iterator(ROWS):
        if refund.stripe_id not in listed and not refund.moved:
            yield Difference(
                Discrepancy.Kind.MISSING_AT_STRIPE,
                refund.stripe_id or f"refund {refund.pk}",
                refund.amount,
                f"refund {refund.pk} is not at Stripe",
            )
