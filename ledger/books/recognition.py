"""What is posted of parcels, of changes of Stripe's balance, and of refunds that failed.

The rows give the facts, `ledger.books.pots` calculates, `ledger.books.posting` drafts, `ledger.books.journal` writes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Q, QuerySet, Sum

from ledger.books import journal, posting
from ledger.books.discrepancies import note
from ledger.books.order_pots import SHIPPING_LINE, pots, pots_as_posted, unbound
from ledger.books.posting import Change, Draft, RefundPart
from ledger.books.pots import recognise, reverse
from ledger.books.tax import RATES, SHIPPING_RATE, piecewise
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

CHARGE_TYPES = frozenset({"charge", "payment"})
REFUND_TYPES = frozenset({"refund", "payment_refund"})
REFUND_FAILURE_TYPES = frozenset({"refund_failure", "payment_failure_refund"})

# How these are told apart in SQL; `is_refund` and `is_refund_failure` tell one.
CHARGES = Q(type__in=sorted(CHARGE_TYPES))
REFUNDS = Q(type__in=sorted(REFUND_TYPES), amount__lte=0)
REFUND_FAILURES = Q(type__in=sorted(REFUND_FAILURE_TYPES)) | Q(type__in=sorted(REFUND_TYPES), amount__gt=0)


def is_refund(kind: str, amount: int) -> bool:
    """Say whether a balance transaction of this type and amount is the money of a refund leaving."""
    return kind in REFUND_TYPES and amount <= 0


def is_refund_failure(kind: str, amount: int) -> bool:
    """Say whether it is the money of a failed refund coming back: of a type of its own, or for what was not paid by
    card another `payment_refund`, of a positive amount."""
    return kind in REFUND_FAILURE_TYPES or (kind in REFUND_TYPES and amount > 0)


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

    payments: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # by charge: its order and number
    refunds: Mapping[str, Refund] = field(default_factory=dict)  # by refund at Stripe


def known(sources: Collection[str]) -> Known:
    """Load the payments and refunds behind the sources (ch_…, re_…) of some transactions. Two queries."""
    return Known(
        payments={
            str(charge): (order_id, number)
            for charge, order_id, number in Payment.objects.filter(charge__in=sources).values_list(
                "charge", "order_id", "order__number"
            )
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
    parts = _refund_parts(
        [refund for txn in moved if (refund := _refund_of(txn, rows)) and refund.amount == -txn.amount]
    )
    drafts = [_draft(txn, rows, parts) for txn in moved]
    entries = journal.post_all([draft for draft, _trouble in drafts], now=now)
    for txn, entry, (_drafted, trouble) in zip(moved, entries, drafts, strict=True):
        _note_trouble(txn, entry, trouble, now=now)


def _refund_of(txn: BalanceTransaction, rows: Known) -> Refund | None:
    """Give our refund whose money left with this transaction."""
    return rows.refunds.get(txn.source) if is_refund(txn.type, txn.amount) else None


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


def _draft(
    txn: BalanceTransaction, rows: Known, parts: Mapping[int, list[RefundPart]]
) -> tuple[Draft, tuple[str, str] | None]:
    """Give the draft of a transaction, and the kind and detail of what is wrong with it."""
    change = change_of(txn)
    if txn.type in CHARGE_TYPES:
        paid = rows.payments.get(txn.source)
        if paid is None:
            return posting.capture(change, order_id=None, reference=txn.source), (
                Discrepancy.Kind.MISSING_IN_BOOKS,
                f"charge {txn.source} has no payment of ours",
            )
        return posting.capture(change, order_id=paid[0], reference=paid[1]), None
    refund = rows.refunds.get(txn.source)
    if is_refund(txn.type, txn.amount):
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
            parts=parts[refund.pk],
        ), None
    if is_refund_failure(txn.type, txn.amount):
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


def _refund_parts(refunds: Sequence[Refund]) -> dict[int, list[RefundPart]]:
    """Give the parts of refunds with their tax, by refund; each one's tax builds on those before it.

    Their orders are locked, so that no other refund computes its tax too. Nine queries, however many refunds.
    """
    if not refunds:
        return {}
    orders = Order.objects.select_for_update().filter(pk__in={refund.order_id for refund in refunds})
    locked = {order.pk: order for order in orders.order_by("pk")}
    owed = set(_owed_entries(refunds).values_list("source_id", flat=True))  # posted before their money moved
    lines: defaultdict[int, list[RefundLine]] = defaultdict(list)
    taxed = set()
    for line in RefundLine.objects.filter(refund__in=refunds).select_related("refund").order_by("pk"):
        lines[line.refund_id].append(line)
        if line.recognised and line.tax_rate is not None:
            taxed.add(line.refund.order_id)
    state = pots_as_posted([locked[order_id] for order_id in sorted(taxed)]) if taxed else {}
    found = {}
    for refund in refunds:
        if str(refund.pk) in owed:
            found[refund.pk] = [RefundPart(rate=None, payable=refund.amount)]
            continue
        parts = []
        for line in lines[refund.pk]:
            tax = 0
            if line.recognised and line.tax_rate is not None:
                pots_left = state[refund.order_id]
                pots_left[line.tax_rate], tax = reverse(pots_left[line.tax_rate], line.recognised)
            parts.append(
                RefundPart(
                    rate=line.tax_rate,
                    prepaid=line.prepaid,
                    recognised=line.recognised,
                    tax=tax,
                    payable=line.payable,
                )
            )
        found[refund.pk] = _merged(parts)
    return found


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


def _owed_entries(refunds: Iterable[Refund]) -> QuerySet[JournalEntry]:
    return JournalEntry.objects.filter(
        source_type=posting.REFUND,
        source_id__in=[str(refund.pk) for refund in refunds],
        purpose__in=posting.OWED,
    )


def post_waiting_refund(refund: Refund, *, since: datetime, now: datetime) -> JournalEntry | None:
    """Post a refund that waits for the customer's bank account: what it takes is owed (2120) until its money moves.

    It is owed since the refund began at Stripe, whenever we heard of it: its money may have moved before we did.
    Does nothing when that is posted. Runs inside the transaction that marks the refund as waiting.
    """
    return _post_owed(refund, posting.WAITING, occurred_at=since, now=now)


def post_failed_refund(refund: Refund, *, now: datetime) -> JournalEntry | None:
    """Post a refund that failed or was cancelled before any money moved: what it took is owed (2120).

    One that waited is owed already. Does nothing when Stripe's balance had moved for it: then the failure is a
    balance transaction of its own. Runs inside the transaction that marks the refund as failed.
    """
    return _post_owed(refund, posting.FAILED, occurred_at=now, now=now)


def _post_owed(refund: Refund, purpose: str, *, occurred_at: datetime, now: datetime) -> JournalEntry | None:
    if refund.stripe_id and BalanceTransaction.objects.filter(source=refund.stripe_id).exists():
        return None
    posted = _owed_entries([refund]).first()
    if posted is not None:
        return posted
    draft = posting.unpaid_refund(
        str(refund.pk),
        purpose,
        occurred_at=occurred_at,
        order_id=refund.order_id,
        reference=refund.order.number,
        parts=_refund_parts([refund])[refund.pk],
    )
    return journal.post(draft, now=now) if draft.lines else None
