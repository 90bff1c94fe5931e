"""From an order's rows to what is posted: which pot a shipment or a refund moves, and by how much.

The rows decide (order lines, parcels, refund lines, entries), `ledger.pots` calculates, `ledger.posting` drafts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import Q, Sum
from django.utils.translation import gettext as _

from ledger import accounts, journal, posting
from ledger.discrepancies import note
from ledger.models import (
    BalanceTransaction,
    Discrepancy,
    JournalEntry,
    JournalLine,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
)
from ledger.posting import Change, Draft, RefundPart
from ledger.pots import Pot, recognise, reverse, take
from ledger.tax import RATES, SHIPPING_RATE, piecewise, spread

CHARGE_TYPES = frozenset({"charge", "payment"})
REFUND_TYPES = frozenset({"refund", "payment_refund"})
REFUND_FAILURE_TYPES = frozenset({"refund_failure", "payment_failure_refund"})

# A refund line of the shipping fee: bound to no order line, but to one "piece"; a part of a whole rate has none.
SHIPPING_LINE = Q(order_line__isnull=True, tax_rate=SHIPPING_RATE, quantity=1)


class RefundRefused(Exception):
    """The refund asks for what is not there; the text says what is. Nothing was changed."""


@dataclass(frozen=True)
class RefundRequest:
    """What staff ask for: an amount, or pieces and the shipping fee, or (neither) everything that remains."""

    amount: int | None  # JPY
    quantities: Mapping[int, int]  # pieces per order line
    include_shipping: bool
    restock: bool  # whether shipped pieces go back to stock
    reason: str


@dataclass(frozen=True)
class PlannedLine:
    """A refund line to be: what it takes, and from where the books take it (JPY)."""

    order_line_id: int | None = None
    tax_rate: int | None = None
    quantity: int = 0  # pieces refunded; 1 for the shipping fee
    unshipped: int = 0  # of these pieces: will never be shipped
    shipped: int = 0  # of these pieces: come back, or are forgiven
    prepaid: int = 0
    recognised: int = 0
    payable: int = 0

    @property
    def amount(self) -> int:
        """What the customer gets for this part."""
        return self.prepaid + self.recognised + self.payable


# ── The state of an order ────────────────────────────────────────────────────────────────────────────────


def pots(order: Order) -> dict[int, Pot]:
    """Give the pot of each rate as shipments were posted and refunds were asked for. Four queries.

    A refund counts from its request, whatever becomes of it: one that fails is owed in 2120.
    """
    gross = dict.fromkeys(RATES, 0)
    for rate, total in order.lines.values_list("tax_rate", "total"):
        gross[rate] += total
    gross[SHIPPING_RATE] += order.shipping_fee
    posted = _posted(order, Q(entry__source_type=posting.SHIPMENT))
    reversed_ = _posted(order, ~Q(entry__source_type=posting.SHIPMENT))
    refunded = {
        rate: (before, after)
        for rate, before, after in RefundLine.objects.filter(refund__order=order, tax_rate__isnull=False)
        .values_list("tax_rate")
        .annotate(before=Sum("prepaid"), after=Sum("recognised"))
        .order_by()
        .values_list("tax_rate", "before", "after")
    }
    found = {}
    for rate in RATES:
        before, after = refunded.get(rate, (0, 0))
        shipping = posted.get(accounts.SHIPPING_INCOME, 0) if rate == SHIPPING_RATE else 0
        tax = posted.get(accounts.OUTPUT_TAX[rate], 0)
        found[rate] = Pot(
            rate=rate,
            gross=gross[rate],
            recognised=posted.get(accounts.SALES[rate], 0) + shipping + tax,
            tax=tax,
            refunded_before=before,
            refunded_after=after,
            tax_reversed=-reversed_.get(accounts.OUTPUT_TAX[rate], 0),
        )
    return found


def _posted(order: Order, which: Q) -> dict[str, int]:
    """Give credit − debit per account of some of the order's entries."""
    return {
        account: credit - debit
        for account, debit, credit in JournalLine.objects.filter(which, entry__order=order)
        .values_list("account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("account_id", "debits", "credits")
    }


def _pots_as_posted(order: Order) -> dict[int, Pot]:
    """Give the pots with what refunds have posted, not with what was asked for: the base of cumulative tax."""
    posted = _posted(order, ~Q(entry__source_type=posting.SHIPMENT))
    return {
        rate: replace(
            pot,
            refunded_after=-posted.get(accounts.RETURNS[rate], 0) - posted.get(accounts.OUTPUT_TAX[rate], 0),
        )
        for rate, pot in pots(order).items()
    }


@dataclass(frozen=True)
class Unbound:
    """Money of an order that lies in no pot (JPY)."""

    funded: bool  # whether the payments cover the order at all; if not, its pots are empty
    excess: int  # paid beyond the order's total and not refunded, or all that was paid when it is not funded
    owed: int  # of failed refunds, not yet asked for again


def unbound(order: Order) -> Unbound:
    """Tell what was paid beyond the order's total, and what is owed since refunds failed. Three queries."""
    captured: int = Payment.objects.filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    failed: int = (
        Refund.objects.filter(
            order=order, status__in=[Refund.Status.FAILED, Refund.Status.CANCELED]
        ).aggregate(sum=Sum("amount"))["sum"]
        or 0
    )
    taken = RefundLine.objects.filter(refund__order=order, tax_rate__isnull=True).aggregate(
        excess=Sum("prepaid"), payable=Sum("payable")
    )
    kept = captured - (taken["excess"] or 0)  # what was given back unbound was never for the order
    funded = kept >= order.total
    return Unbound(
        funded=funded,
        excess=kept - (order.total if funded else 0),
        owed=failed - (taken["payable"] or 0),
    )


# ── Refunds: what they take from ─────────────────────────────────────────────────────────────────────────


def refund_plan(order: Order, request: RefundRequest) -> list[PlannedLine]:
    """Decide where a refund takes from, over the order's rows; the caller has locked the order.

    - Pieces (`quantities`, and the shipping fee): bound to their lines, unshipped pieces first. All pieces that are
      left with the shipping fee are everything that remains.
    - An amount: what was paid too much, then what is owed since a refund failed, then the pots by what remains in
      them, in each the prepaid part first.
    - Neither: everything that remains, by its lines.

    Raises `RefundRefused` when nothing is left, a line has fewer pieces left than asked, or the amount exceeds
    what remains.
    """
    quantities = {pk: pieces for pk, pieces in request.quantities.items() if pieces}
    if request.amount is not None and (quantities or request.include_shipping):
        raise RefundRefused(_("Give either an amount or lines, not both."))
    loose = unbound(order)
    state = pots(order) if loose.funded else {}
    lines = list(order.lines.order_by("position"))
    if unknown := quantities.keys() - {line.pk for line in lines}:
        raise RefundRefused(_("Line %(line)d does not belong to this order.") % {"line": min(unknown)})
    left = {line.pk: pieces for line in lines if (pieces := _pieces_left(line))}
    if request.amount is not None:
        plan = _by_amount(request.amount, state, loose)
    elif (request.include_shipping and quantities == left) or not (quantities or request.include_shipping):
        plan = _whole(order, lines, state, loose)
    else:
        plan = [_take_pieces(state, line, quantities[line.pk]) for line in lines if line.pk in quantities]
        if request.include_shipping:
            plan.append(_take_shipping(order, state))
    if sum(line.amount for line in plan) == 0:
        raise RefundRefused(_("Nothing is left to be refunded."))
    return plan


def _by_amount(amount: int, state: Mapping[int, Pot], loose: Unbound) -> list[PlannedLine]:
    remaining = [pot.remaining for pot in state.values()]
    available = loose.excess + loose.owed + sum(remaining)
    if amount < 1 or amount > available:
        raise RefundRefused(
            _("An amount between ¥1 and ¥%(available)s can be refunded, not ¥%(amount)s.")
            % {"available": f"{available:,}", "amount": f"{amount:,}"}
        )
    excess = min(amount, loose.excess)
    owed = min(amount - excess, loose.owed)
    plan = [PlannedLine(prepaid=excess), PlannedLine(payable=owed)]
    for pot, share in zip(state.values(), spread(amount - excess - owed, remaining), strict=True):
        _pot, before, after = take(pot, prepaid=share, recognised=0)
        plan.append(PlannedLine(tax_rate=pot.rate, prepaid=before, recognised=after))
    return [line for line in plan if line.amount]


def _whole(
    order: Order, lines: Sequence[OrderLine], state: dict[int, Pot], loose: Unbound
) -> list[PlannedLine]:
    plan = [PlannedLine(payable=loose.owed)]
    if loose.funded:
        plan += [_take_pieces(state, line, pieces) for line in lines if (pieces := _pieces_left(line))]
        if order.shipping_fee and not _shipping_refunded(order):
            plan.append(_take_shipping(order, state))
    else:
        plan.append(PlannedLine(prepaid=loose.excess))
    for pot in state.values():  # what the lines' values did not take
        plan.append(PlannedLine(tax_rate=pot.rate, prepaid=pot.prepaid_left, recognised=pot.recognised_left))
    return [line for line in plan if line.amount or line.quantity]


def _pieces_left(line: OrderLine) -> int:
    """Count the pieces that were not refunded, shipped or not."""
    return line.quantity - line.cancelled - line.returned


def _take_pieces(state: dict[int, Pot], line: OrderLine, pieces: int) -> PlannedLine:
    """Take pieces of a line: unshipped ones first, worth what no parcel will recognise, then shipped ones.

    Parcels count a line's value from its first piece on, cancelled pieces from its last one back; so what was
    shipped and what was cancelled of a line add up to its total, to the yen.
    """
    left = _pieces_left(line)
    if not 0 < pieces <= left:
        raise RefundRefused(
            _("%(title)s: %(left)d pieces can be refunded at most.") % {"title": line.title, "left": left}
        )
    pot = state.get(line.tax_rate)
    if pot is None:
        raise RefundRefused(_("The payment does not cover the order: refund an amount instead."))
    unshipped = min(pieces, line.shippable)
    shipped = pieces - unshipped
    state[line.tax_rate], before, after = take(
        pot,
        prepaid=piecewise(line.total, line.quantity, line.quantity - line.cancelled - unshipped, unshipped),
        recognised=piecewise(line.total, line.quantity, line.returned, shipped),
    )
    return PlannedLine(
        order_line_id=line.pk,
        tax_rate=line.tax_rate,
        quantity=pieces,
        unshipped=unshipped,
        shipped=shipped,
        prepaid=before,
        recognised=after,
    )


def _take_shipping(order: Order, state: dict[int, Pot]) -> PlannedLine:
    pot = state.get(SHIPPING_RATE)
    if pot is None or not order.shipping_fee or _shipping_refunded(order):
        raise RefundRefused(_("There is no shipping fee left to be refunded."))
    recognised = order.shipments.exists()
    state[SHIPPING_RATE], before, after = take(
        pot,
        prepaid=0 if recognised else order.shipping_fee,
        recognised=order.shipping_fee if recognised else 0,
    )
    return PlannedLine(tax_rate=SHIPPING_RATE, quantity=1, prepaid=before, recognised=after)


def _shipping_refunded(order: Order) -> bool:
    return RefundLine.objects.filter(SHIPPING_LINE, refund__order=order).exists()


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


def post_balance_transaction(
    txn: BalanceTransaction, *, now: datetime, rows: Known | None = None
) -> JournalEntry | None:
    """Post a balance transaction, inside the transaction that stores it.

    What we can not explain is posted too, so that 1150 stays true, with a `Discrepancy`: a charge or refund without
    our row against 2130, an unknown type or an amount that is not the refund's against 9990. One that surfaces after
    its day was closed is noted for both days. Returns None for a transaction of ¥0.
    """
    posted = JournalEntry.objects.filter(source_type=posting.BALANCE_TRANSACTION, source_id=txn.id).first()
    if posted is not None:
        return posted
    if txn.amount == 0 and txn.fee == 0:
        return None
    draft, trouble = _draft(txn, known([txn.source]) if rows is None else rows)
    entry = journal.post(draft, now=now)
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
    return entry


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
    if JournalEntry.objects.filter(
        source_type=posting.REFUND, source_id=str(refund.pk), purpose="failed"
    ).exists():  # posted as owed before its money moved
        return [RefundPart(rate=None, payable=refund.amount)]
    order = Order.objects.select_for_update().get(pk=refund.order_id)
    state: dict[int, Pot] = {}
    parts = []
    for line in RefundLine.objects.filter(refund=refund).order_by("pk"):
        tax = 0
        if line.recognised and line.tax_rate is not None:
            state = state or _pots_as_posted(order)
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


def post_failed_refund(refund: Refund, *, now: datetime) -> JournalEntry | None:
    """Post a refund that failed or was cancelled before any money moved: what it took is owed (2120).

    Does nothing when Stripe's balance had moved for it: then the failure is a balance transaction of its own.
    Runs inside the transaction that marks the refund as failed.
    """
    if refund.stripe_id and BalanceTransaction.objects.filter(source=refund.stripe_id).exists():
        return None
    posted = JournalEntry.objects.filter(
        source_type=posting.REFUND, source_id=str(refund.pk), purpose="failed"
    ).first()
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
