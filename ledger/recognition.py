"""What is posted of parcels, of changes of Stripe's balance, and of refunds that failed.

The rows give the facts, `ledger.pots` calculates, `ledger.posting` drafts, `ledger.journal` writes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import QuerySet, Sum

from ledger import journal, posting
from ledger.discrepancies import note
from ledger.models import (
    BalanceTransaction,
    Discrepancy,
    JournalEntry,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
)
from ledger.order_pots import SHIPPING_LINE, pots, pots_as_posted, unbound
from ledger.posting import Change, Draft, RefundPart
from ledger.pots import Pot, recognise, reverse
from ledger.tax import RATES, SHIPPING_RATE, piecewise

CHARGE_TYPES = frozenset({"charge", "payment"})
REFUND_TYPES = frozenset({"refund", "payment_refund"})
REFUND_FAILURE_TYPES = frozenset({"refund_failure", "payment_failure_refund"})


# ── Shipments ────────────────────────────────────────────────────────────────────────────────────────────


def post_shipment(shipment: Shipment, *, now: datetime) -> JournalEntry | None:
    """Post a parcel, inside the transaction that ships it with the order locked.

    Per rate: the pieces' share by cumulative floor, at most what refunds left of the pot; the last parcel of a rate
    takes all that is left; the shipping fee goes with the first parcel. Returns None when nothing was left to
    recognise, and the entry that is there when the parcel was posted before.
    """
    posted = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT, source_id=str(shipment.pk), purpose="recognition"
    ).first()
    if posted is not None:
        return posted
    order = shipment.order
    earlier: dict[int, int] = {}
    parcel: dict[int, int] = {}
    for line_id, of, quantity in ShipmentLine.objects.filter(
        shipment__order=order, shipment_id__lte=shipment.pk
    ).values_list("order_line_id", "shipment_id", "quantity"):
        pieces = parcel if of == shipment.pk else earlier
        pieces[line_id] = pieces.get(line_id, 0) + quantity
    goods = dict.fromkeys(RATES, 0)
    last = dict.fromkeys(RATES, True)
    for line in OrderLine.objects.filter(order=order):
        before, now_shipped = earlier.get(line.pk, 0), parcel.get(line.pk, 0)
        goods[line.tax_rate] += piecewise(line.total, line.quantity, before, now_shipped)
        if before + now_shipped + line.cancelled < line.quantity:
            last[line.tax_rate] = False
    shipping = 0
    if not order.shipments.filter(pk__lt=shipment.pk).exists():
        refunded = RefundLine.objects.filter(SHIPPING_LINE, refund__order=order).aggregate(
            sum=Sum("prepaid")
        )["sum"]
        shipping = order.shipping_fee - (refunded or 0)
    parts = []
    for rate, pot in pots(order).items():
        _pot, part = recognise(
            pot, goods=goods[rate], shipping=shipping if rate == SHIPPING_RATE else 0, last=last[rate]
        )
        parts.append(part)
    draft = posting.shipment(
        str(shipment.pk),
        occurred_at=shipment.shipped_at,
        order_id=order.pk,
        reference=order.number,
        parts=parts,
    )
    return journal.post(draft, now=now) if draft.lines else None


# ── Balance transactions ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Known:
    """Our rows behind some Stripe objects, loaded for a page at once."""

    payments: Mapping[str, Payment] = field(default_factory=dict)  # by charge
    refunds: Mapping[str, Refund] = field(default_factory=dict)  # by refund at Stripe


def known(sources: Collection[str]) -> Known:
    """Load the payments and refunds behind the sources (ch_…, re_…) of some transactions. Two queries."""
    return Known(
        payments={
            str(payment.charge): payment
            for payment in Payment.objects.filter(charge__in=sources).select_related("order")
        },
        refunds={
            str(refund.stripe_id): refund
            for refund in Refund.objects.filter(stripe_id__in=sources).select_related("order")
        },
    )


def change_of(txn: BalanceTransaction) -> Change:
    """Give the posting fact of a balance transaction."""
    return Change(id=txn.id, amount=txn.amount, fee=txn.fee, fee_tax=txn.fee_tax, occurred_at=txn.created)


def post_balance_transactions(
    txns: Sequence[BalanceTransaction], *, now: datetime, rows: Known | None = None
) -> None:
    """Post balance transactions, inside the transaction that has just stored them; their keys make that once.

    What we can not explain is posted too, so that 1150 stays true, with a `Discrepancy`: a charge or refund without
    our row against 2130, an unknown type or an amount that is not the refund's against 9990. One that surfaces after
    its day was closed is noted for both days. One of ¥0 has no entry.
    """
    rows = known({txn.source for txn in txns}) if rows is None else rows
    moved = [txn for txn in txns if txn.amount or txn.fee]
    captures = [txn for txn in moved if txn.type in CHARGE_TYPES]
    drafts = [_draft(txn, rows) for txn in captures]
    entries = journal.post_all([draft for draft, _trouble in drafts], now=now)
    for txn, entry, (_drafted, trouble) in zip(captures, entries, drafts, strict=True):
        _note_trouble(txn, entry, trouble, now=now)
    for txn in moved:  # one by one: the tax in a refund depends on what the one before it posted
        if txn.type not in CHARGE_TYPES:
            draft, trouble = _draft(txn, rows)
            _note_trouble(txn, journal.post(draft, now=now), trouble, now=now)


def _note_trouble(
    txn: BalanceTransaction, entry: JournalEntry, trouble: tuple[str, str] | None, *, now: datetime
) -> None:
    """Write down what is wrong with a posted transaction, and that it came late."""
    if trouble is not None:
        kind, detail = trouble
        unknown = kind == Discrepancy.Kind.UNKNOWN_TYPE
        note(
            kind,
            txn.id if unknown else txn.source or txn.id,  # the charge or refund is what a person looks for
            day=entry.day,
            amount=txn.amount,
            detail=detail,
            now=now,
        )
    if entry.day != txn.day:
        for day in (txn.day, entry.day):
            note(
                Discrepancy.Kind.LATE,
                txn.id,
                day=day,
                amount=txn.net,
                detail=f"{txn.type} {txn.source}: of {txn.day}, posted on {entry.day}",
                now=now,
            )


def _draft(txn: BalanceTransaction, rows: Known) -> tuple[Draft, tuple[str, str] | None]:
    """Give the draft of a transaction, and the kind and detail of what is wrong with it."""
    change = change_of(txn)
    if txn.type in CHARGE_TYPES:
        payment = rows.payments.get(txn.source)
        if payment is None:
            return posting.capture(change, order_id=None, reference=txn.source), (
                Discrepancy.Kind.MISSING_IN_BOOKS,
                f"charge {txn.source} has no payment of ours",
            )
        return posting.capture(change, order_id=payment.order_id, reference=payment.order.number), None
    refund = rows.refunds.get(txn.source)
    if txn.type in REFUND_TYPES:
        if refund is None:
            return posting.unknown_refund(change, reference=txn.source), (
                Discrepancy.Kind.MISSING_IN_BOOKS,
                f"refund {txn.source} is none of ours",
            )
        if refund.amount != -txn.amount:
            return posting.suspense(change, order_id=refund.order_id, reference=refund.order.number), (
                Discrepancy.Kind.AMOUNT,
                f"refund {txn.source}: ours {refund.amount}, Stripe's {-txn.amount}",
            )
        return posting.refund(
            change,
            order_id=refund.order_id,
            reference=refund.order.number,
            parts=_refund_parts(refund),
        ), None
    if txn.type in REFUND_FAILURE_TYPES:
        order = refund.order if refund is not None else None
        trouble = None
        if order is None:
            trouble = (Discrepancy.Kind.MISSING_IN_BOOKS, f"refund {txn.source} is none of ours")
        return posting.refund_failure(
            change,
            order_id=order.pk if order else None,
            reference=order.number if order else txn.source,
        ), trouble
    return posting.suspense(change, order_id=None, reference=f"{txn.type} {txn.source}"), (
        Discrepancy.Kind.UNKNOWN_TYPE,
        f"{txn.type} {txn.source}",
    )


def _refund_parts(refund: Refund) -> list[RefundPart]:
    """Give the parts of a refund with their tax, the order locked so that no other refund computes it too."""
    if _failed_entry(refund).exists():  # posted as owed before its money moved
        return [RefundPart(rate=None, payable=refund.amount)]
    order = Order.objects.select_for_update().get(pk=refund.order_id)
    state: dict[int, Pot] = {}
    parts = []
    for line in RefundLine.objects.filter(refund=refund).order_by("pk"):
        tax = 0
        if line.recognised and line.tax_rate is not None:
            state = state or pots_as_posted(order)
            state[line.tax_rate], tax = reverse(state[line.tax_rate], line.recognised)
        parts.append(
            RefundPart(
                rate=line.tax_rate,
                prepaid=line.prepaid,
                recognised=line.recognised,
                tax=tax,
                payable=line.payable,
            )
        )
    return _merged(parts)


def _merged(parts: list[RefundPart]) -> list[RefundPart]:
    """Add up the parts of one rate: an entry shows each account once."""
    by_rate: dict[int | None, RefundPart] = {}
    for part in parts:
        sum_ = by_rate.get(part.rate, RefundPart(rate=part.rate))
        by_rate[part.rate] = RefundPart(
            rate=part.rate,
            prepaid=sum_.prepaid + part.prepaid,
            recognised=sum_.recognised + part.recognised,
            tax=sum_.tax + part.tax,
            payable=sum_.payable + part.payable,
        )
    return list(by_rate.values())


def settle_overdrawn(failed: Refund, *, now: datetime) -> None:
    """Count what other refunds took beyond the order's money as payment of what is owed since `failed` ended badly.

    Somebody refunded in Stripe's dashboard what was promised to our refund: Stripe refused ours, which is owed now,
    and the other one had nowhere to take its money from but 2130. An entry moves it to 2120. Runs inside the
    transaction that marks `failed`, with the order locked.
    """
    loose = unbound(failed.order)
    amount = min(loose.overdrawn, loose.owed)
    if amount:
        draft = posting.settled(
            str(failed.pk),
            amount=amount,
            occurred_at=now,
            order_id=failed.order_id,
            reference=failed.order.number,
        )
        journal.post(draft, now=now)


def _failed_entry(refund: Refund) -> QuerySet[JournalEntry]:
    return JournalEntry.objects.filter(source_type=posting.REFUND, source_id=str(refund.pk), purpose="failed")


def post_failed_refund(refund: Refund, *, now: datetime) -> JournalEntry | None:
    """Post a refund that failed or was cancelled before any money moved: what it took is owed (2120).

    Does nothing when Stripe's balance had moved for it: then the failure is a balance transaction of its own.
    Runs inside the transaction that marks the refund as failed.
    """
    if refund.stripe_id and BalanceTransaction.objects.filter(source=refund.stripe_id).exists():
        return None
    posted = _failed_entry(refund).first()
    if posted is not None:
        return posted
    draft = posting.unpaid_refund(
        str(refund.pk),
        occurred_at=now,
        order_id=refund.order_id,
        reference=refund.order.number,
        parts=_refund_parts(refund),
    )
    return journal.post(draft, now=now) if draft.lines else None
