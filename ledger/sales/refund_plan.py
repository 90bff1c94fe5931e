"""What a refund takes from: decided when it is asked for, over the order's rows, and stored in its lines.

Unshipped pieces are refunded first, out of prepayments; shipped ones out of sales. Nothing is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, Sum
from django.utils.translation import gettext as _

from ledger.books.order_buckets import IS_SHIPPING_LINE, UnallocatedMoney, tax_buckets, unallocated_money
from ledger.books.tax import SHIPPING_RATE, spread, value_of_pieces
from ledger.books.tax_buckets import TaxBucket, take
from ledger.models import Order, OrderLine, Refund, RefundLine

UNDER_WAY = (Refund.Status.REQUESTED, Refund.Status.REQUIRES_ACTION, Refund.Status.PENDING)


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


def refund_plan(order: Order, request: RefundRequest) -> list[PlannedLine]:
    """Decide where a refund takes from, over the order's rows; the caller has locked the order.

    - Pieces (`quantities`, and the shipping fee): bound to their lines, unshipped pieces first. All pieces that are
      left with the shipping fee are everything that remains.
    - An amount: what was paid too much, then what is owed since a refund failed, then the buckets by what remains in
      them, in each the prepaid part first.
    - Neither: everything that remains, by its lines.

    Raises `RefundRefused` when nothing is left, a line has fewer pieces left than asked, or the amount exceeds
    what remains.
    """
    quantities = {pk: pieces for pk, pieces in request.quantities.items() if pieces}
    if request.amount is not None and (quantities or request.include_shipping):
        raise RefundRefused(_("Give either an amount or lines, not both."))
    unallocated = unallocated_money(order)
    buckets = tax_buckets(order) if unallocated.is_funded else {}
    lines = list(order.lines.order_by("position"))
    if unknown := quantities.keys() - {line.pk for line in lines}:
        raise RefundRefused(_("Line %(line)d does not belong to this order.") % {"line": min(unknown)})
    left = {line.pk: pieces for line in lines if (pieces := _pieces_left(line))}
    if request.amount is not None:
        plan = _by_amount(request.amount, buckets, unallocated)
    elif (request.include_shipping and quantities == left) or not (quantities or request.include_shipping):
        plan = _whole(order, lines, buckets, unallocated)
    else:
        plan = [_take_pieces(buckets, line, quantities[line.pk]) for line in lines if line.pk in quantities]
        if request.include_shipping:
            plan.append(_take_shipping(order, buckets))
    if sum(line.amount for line in plan) == 0:
        raise RefundRefused(_("Nothing is left to be refunded."))
    return plan


def plan_of_amount(order: Order, amount: int) -> list[PlannedLine]:
    """Decide where an amount takes from that goes back in any case.

    When the order lacks it, it is what was promised to refunds under way, one of which will not succeed: prepayments
    carry that, bound to nothing, until `refunds_payable.settle_overdrawn`. The buckets give the rest.
    """
    try:
        return refund_plan(order, everything(amount=amount))
    except RefundRefused:
        unallocated = unallocated_money(order)
    promised: int = (
        RefundLine.objects.filter(refund__order=order, refund__status__in=UNDER_WAY).aggregate(
            sum=Sum(F("prepaid") + F("recognised") + F("payable"))
        )["sum"]
        or 0
    )
    in_buckets = (
        sum(bucket.remaining for bucket in tax_buckets(order).values()) if unallocated.is_funded else 0
    )
    rest = amount - max(0, promised - unallocated.overdrawn)
    bound = max(0, min(rest, unallocated.excess + unallocated.owed + in_buckets))
    plan = refund_plan(order, everything(amount=bound)) if bound else []
    return [*plan, PlannedLine(prepaid=amount - bound)]


def everything(*, amount: int | None = None, reason: str = "") -> RefundRequest:
    """Ask for an amount, or without one for all that is left: pieces, shipping fee, what is owed."""
    return RefundRequest(amount=amount, quantities={}, include_shipping=False, restock=False, reason=reason)


def _by_amount(
    amount: int, buckets: Mapping[int, TaxBucket], unallocated: UnallocatedMoney
) -> list[PlannedLine]:
    remaining = [bucket.remaining for bucket in buckets.values()]
    available = unallocated.excess + unallocated.owed + sum(remaining)
    if amount < 1 or amount > available:
        raise RefundRefused(
            _("An amount between ¥1 and ¥%(available)s can be refunded, not ¥%(amount)s.")
            % {"available": f"{available:,}", "amount": f"{amount:,}"}
        )
    excess = min(amount, unallocated.excess)
    owed = min(amount - excess, unallocated.owed)
    plan = [PlannedLine(prepaid=excess), PlannedLine(payable=owed)]
    for bucket, share in zip(buckets.values(), spread(amount - excess - owed, remaining), strict=True):
        _bucket, before, after = take(bucket, prepaid=share, recognised=0)
        plan.append(PlannedLine(tax_rate=bucket.rate, prepaid=before, recognised=after))
    return [line for line in plan if line.amount]


def _whole(
    order: Order, lines: Sequence[OrderLine], buckets: dict[int, TaxBucket], unallocated: UnallocatedMoney
) -> list[PlannedLine]:
    plan = [PlannedLine(payable=unallocated.owed)]
    if unallocated.is_funded:
        plan += [_take_pieces(buckets, line, pieces) for line in lines if (pieces := _pieces_left(line))]
        if order.shipping_fee and not shipping_refunded(order):
            plan.append(_take_shipping(order, buckets))
    else:
        plan.append(PlannedLine(prepaid=unallocated.excess))
    for bucket in buckets.values():  # what the lines' values did not take
        plan.append(
            PlannedLine(tax_rate=bucket.rate, prepaid=bucket.prepaid_left, recognised=bucket.recognised_left)
        )
    return [line for line in plan if line.amount or line.quantity]


def _pieces_left(line: OrderLine) -> int:
    """Count the pieces that were not refunded, shipped or not."""
    return line.quantity - line.cancelled - line.returned


def _take_pieces(buckets: dict[int, TaxBucket], line: OrderLine, pieces: int) -> PlannedLine:
    """Take pieces of a line: unshipped ones first, worth what no parcel will recognise, then shipped ones.

    Parcels count a line's value from its first piece on, cancelled pieces from its last one back; so what was
    shipped and what was cancelled of a line add up to its total, to the yen.
    """
    left = _pieces_left(line)
    if not 0 < pieces <= left:
        raise RefundRefused(
            _("%(title)s: %(left)d pieces can be refunded at most.") % {"title": line.title, "left": left}
        )
    bucket = buckets.get(line.tax_rate)
    if bucket is None:
        raise RefundRefused(_("The payment does not cover the order: refund an amount instead."))
    unshipped = min(pieces, line.shippable)
    shipped = pieces - unshipped
    buckets[line.tax_rate], before, after = take(
        bucket,
        prepaid=value_of_pieces(
            line.total, line.quantity, line.quantity - line.cancelled - unshipped, unshipped
        ),
        recognised=value_of_pieces(line.total, line.quantity, line.returned, shipped),
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


def _take_shipping(order: Order, buckets: dict[int, TaxBucket]) -> PlannedLine:
    bucket = buckets.get(SHIPPING_RATE)
    if bucket is None or not order.shipping_fee or shipping_refunded(order):
        raise RefundRefused(_("There is no shipping fee left to be refunded."))
    recognised = order.shipments.exists()
    buckets[SHIPPING_RATE], before, after = take(
        bucket,
        prepaid=0 if recognised else order.shipping_fee,
        recognised=order.shipping_fee if recognised else 0,
    )
    return PlannedLine(tax_rate=SHIPPING_RATE, quantity=1, prepaid=before, recognised=after)


def shipping_refunded(order: Order) -> bool:
    """Tell whether the shipping fee was refunded, or a refund of it is under way."""
    return RefundLine.objects.filter(IS_SHIPPING_LINE, refund__order=order).exists()
