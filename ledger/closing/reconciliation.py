"""Reconciliation: a day's objects at Stripe against our rows, in both directions, to the yen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import CharField, Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast, Coalesce, Concat

from kikaku.days import JST, day_bounds
from kikaku.money import in_currency, yen
from ledger.books import discrepancies
from ledger.books.transaction_names import type_name
from ledger.closing.japanese import refund_status
from ledger.ingest.backfill import unmatched_charges, unmatched_refunds
from ledger.ingest.readings import ChargeReading, RefundReading, TransactionReading
from ledger.ingest.snapshot import StripeSnapshot
from ledger.models import BalanceTransaction, Discrepancy, Order, OrderEvent, Payment, Refund

ROWS_AT_ONCE = 2000  # read from the database at once


@dataclass(frozen=True)
class Difference:
    """One thing on which Stripe and our books do not agree."""

    kind: Discrepancy.Kind
    object_id: str
    amount: int = 0  # Stripe's less ours, JPY
    detail: str = ""


def compare(snapshot: StripeSnapshot) -> list[Difference]:
    """Return every difference between a snapshot that was recorded and our rows."""
    return [
        *_transactions(snapshot),
        *_charges(snapshot.charges),
        *_payments(snapshot),
        *_paid_orders(snapshot),
        *_refunds(snapshot.refunds),
        *_own_refunds(snapshot),
    ]


def _transactions(snapshot: StripeSnapshot) -> Iterator[Difference]:
    """Compare the listed transactions with the stored ones, field by field."""
    listed = {reading.id: reading for reading in snapshot.transactions if reading.currency == "jpy"}
    stored = BalanceTransaction.objects.filter(day=snapshot.day).order_by("created", "id")
    for txn in stored.iterator(ROWS_AT_ONCE):
        pk, kind, source, net = txn.pk, txn.type, txn.source, txn.net
        ours = (
            kind,
            source,
            txn.amount,
            txn.fee,
            txn.fee_tax,
            txn.fee_taxed,
            txn.taxable_fee,
            net,
            txn.other_balance or "payments",
            txn.created,
        )
        reading = listed.pop(pk, None)
        if reading is None:
            yield Difference(
                Discrepancy.Kind.MISSING_AT_STRIPE,
                pk,
                -net,
                f"{type_name(kind)} {source} が Stripe のその日の一覧にない",
            )
        elif ours != (theirs := _fields(reading, txn)):
            yield Difference(
                Discrepancy.Kind.AMOUNT,
                pk,
                reading.net - net,
                _written(theirs, ours),
            )
    for reading in listed.values():
        yield Difference(
            Discrepancy.Kind.MISSING_IN_BOOKS,
            reading.id,
            reading.net,
            f"{type_name(reading.type)} {reading.source} が帳簿にない",
        )


KIND = "種別"
FIELD_NAMES = (KIND, "対象", "総額", "手数料", "うち税", "課税", "課税分", "純額", "残高", "作成")


def _written(theirs: Sequence[object], ours: Sequence[object]) -> str:
    """Return the fields in which a transaction differs from ours, in words."""
    return "、".join(
        f"{name}：Stripe {_shown(name, their)}／帳簿 {_shown(name, our)}"
        for name, their, our in zip(FIELD_NAMES, theirs, ours, strict=True)
        if their != our
    )


def _shown(name: str, value: object) -> str:
    """Return a field of a transaction as staff read it."""
    if isinstance(value, datetime):
        return value.astimezone(JST).isoformat(timespec="seconds")
    if isinstance(value, bool):
        return "はい" if value else "いいえ"
    if name == KIND:
        return type_name(str(value))
    return yen(value) if isinstance(value, int) else str(value)


def _fields(
    reading: TransactionReading, stored: BalanceTransaction
) -> tuple[str, str, int, int, int, bool | None, int | None, int, str, datetime]:
    """Return what is compared of a reading; older rows do not know everything."""
    return (
        reading.type,
        reading.source,
        reading.amount,
        reading.fee,
        reading.fee_tax,
        None if stored.fee_taxed is None else reading.fee_taxed,
        None if stored.taxable_fee is None else reading.taxable_fee,
        reading.net,
        reading.other_balance or "payments",
        reading.created,
    )


def _charges(charges: Sequence[ChargeReading]) -> Iterator[Difference]:
    """Compare each charge that captured money with our payment."""
    for charge, ours in unmatched_charges(charges):
        money = in_currency(charge.amount_captured, charge.currency)
        if ours is not None:
            yield Difference(
                Discrepancy.Kind.AMOUNT,
                charge.id,
                charge.amount_captured - ours if charge.currency == "jpy" else 0,
                f"Stripe の入金額は {money}、当方の入金は {yen(ours)}",
            )
        elif charge.currency == "jpy":
            yield Difference(
                Discrepancy.Kind.MISSING_IN_BOOKS,
                charge.id,
                charge.amount_captured,
                f"入金 {charge.id}（{money}）に対応する当方の入金がない",
            )
        else:
            yield Difference(
                Discrepancy.Kind.FOREIGN_CURRENCY, charge.id, 0, f"当店の注文に属さない外貨の入金：{money}"
            )


def _payments(snapshot: StripeSnapshot) -> Iterator[Difference]:
    """Find the charge of each payment of the day, or a transaction of that charge on any day."""
    listed = {charge.id for charge in snapshot.charges if charge.has_money}
    start, end = day_bounds(snapshot.day)
    payments = Payment.objects.filter(captured_at__gte=start, captured_at__lt=end).order_by(
        "captured_at", "pk"
    )
    for charge, intent, amount in payments.values_list("charge", "payment_intent", "amount").iterator(
        ROWS_AT_ONCE
    ):
        if charge in listed or BalanceTransaction.objects.filter(source=charge).exists():
            continue
        yield Difference(
            Discrepancy.Kind.MISSING_AT_STRIPE,
            charge or intent,
            -amount,
            f"入金 {intent} に対応する成立した決済が Stripe にない",
        )


def _paid_orders(snapshot: StripeSnapshot) -> Iterator[Difference]:
    """Find the payment of each order that became paid within the day."""
    start, end = day_bounds(snapshot.day)
    unpaid = Order.objects.filter(paid_at__gte=start, paid_at__lt=end).exclude(
        Exists(Payment.objects.filter(order=OuterRef("pk"), amount__gte=OuterRef("total")))
    )
    for order in unpaid.order_by("pk").iterator(ROWS_AT_ONCE):
        yield Difference(
            Discrepancy.Kind.MISSING_AT_STRIPE,
            order.number,
            -order.total,
            f"注文 {order.number} は支払い済みだが、{yen(order.total)} の入金がない",
        )


def _refunds(refunds: Sequence[RefundReading]) -> Iterator[Difference]:
    """Compare each refund at Stripe with ours."""
    for theirs, ours in unmatched_refunds(refunds):
        money = in_currency(theirs.amount, theirs.currency)
        if ours is None:
            is_yen = theirs.currency == "jpy"
            yield Difference(
                Discrepancy.Kind.MISSING_IN_BOOKS if is_yen else Discrepancy.Kind.FOREIGN_CURRENCY,
                theirs.id,
                -theirs.amount if is_yen else 0,
                f"返金 {theirs.id}（{money}）が帳簿にない",
            )
        elif ours.amount != theirs.amount:
            yield Difference(
                Discrepancy.Kind.AMOUNT,
                theirs.id,
                ours.amount - theirs.amount,
                f"Stripe の返金額は {money}、当方の返金は {yen(ours.amount)}",
            )
        else:
            yield Difference(
                Discrepancy.Kind.AMOUNT,
                theirs.id,
                0,
                f"Stripe では「{refund_status(theirs.status)}」、"
                f"当方の返金は「{refund_status(ours.status)}」",
            )


def _own_refunds(snapshot: StripeSnapshot) -> Iterator[Difference]:
    """Find each refund that our rows call succeeded, or a transaction of it on any day.

    It belongs to the day on which we heard of its success: one that was asked for while Stripe or the worker
    was down is made later.
    """
    start, end = day_bounds(snapshot.day)
    listed = {refund.id for refund in snapshot.refunds}
    fact = Concat(Value("refund:"), Cast(OuterRef("pk"), CharField()))
    success = OrderEvent.objects.filter(
        order=OuterRef("order"), kind=OrderEvent.Kind.REFUND_SUCCEEDED, fact=fact
    )
    moved = BalanceTransaction.objects.filter(source=OuterRef("stripe_id"))
    unmoved = Refund.objects.filter(~Exists(moved), status=Refund.Status.SUCCEEDED, requested_at__lt=end)
    ours = unmoved.annotate(heard_at=Coalesce(Subquery(success.values("at")[:1]), F("requested_at")))
    for refund in ours.filter(heard_at__gte=start, heard_at__lt=end).order_by("pk").iterator(ROWS_AT_ONCE):
        if refund.stripe_id not in listed:
            yield Difference(
                Discrepancy.Kind.MISSING_AT_STRIPE,
                refund.stripe_id or f"refund {refund.pk}",
                refund.amount,
                f"返金 {refund.pk} が Stripe にない",
            )


def unresolved(day: date, differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences found now or noted earlier for this day that are not resolved."""
    # of some kinds there is one row for each object, perhaps of another day
    is_resolved_object = Q(
        kind__in=discrepancies.KINDS_OF_OBJECTS,
        day__gte=day - timedelta(days=1),
        resolved_at__isnull=False,
    )
    rows = list(Discrepancy.objects.filter(Q(day=day) | is_resolved_object))
    noted = {(row.kind, row.object_id): row for row in rows if row.day == day}
    resolved = {
        row.object_id
        for row in rows
        if row.kind in discrepancies.KINDS_OF_OBJECTS and row.resolved_at is not None
    }
    of_objects = {row.object_id for row in noted.values() if row.kind in discrepancies.KINDS_OF_OBJECTS}
    new = {
        (difference.kind, difference.object_id): difference
        for difference in differences
        if (difference.kind, difference.object_id) not in noted
        and not (
            difference.kind in discrepancies.KINDS_OF_OBJECTS
            and difference.object_id in resolved | of_objects
        )
    }
    earlier = [
        Difference(Discrepancy.Kind(row.kind), row.object_id, row.amount, row.detail)
        for row in noted.values()
        if row.resolved_at is None
    ]
    return [*earlier, *new.values()]
