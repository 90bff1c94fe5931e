"""The plan of a refund: which lines and accounts its amount is taken from.

It is decided when the refund is requested, from the order's rows, and then stored in the refund's lines.
Pieces that are cancelled are refunded out of prepayments, pieces that come back out of sales with their tax.
Nothing is written here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from django.db.models import QuerySet, Sum
from django.utils.translation import gettext as _

from ledger.books.order_buckets import IS_SHIPPING_LINE, UnallocatedMoney, tax_buckets, unallocated_money
from ledger.books.recognition import is_shipping_fee_sold
from ledger.books.tax import SHIPPING_CLASS, spread, value_of_pieces
from ledger.books.tax_buckets import TaxBucket, take
from ledger.models import Order, OrderLine, Refund, RefundLine


class RefundRefused(Exception):
    """The order does not have what the refund asks for; the message says what it has. Nothing was changed."""


class SideMissing(RefundRefused):
    """The order was shipped in part, and the request does not say from which part its amount comes."""


class Side(Enum):
    """Which part of an order an amount is taken from."""

    UNSHIPPED = "unshipped"  # prepayments: what is not shipped gets cheaper
    SHIPPED = "shipped"  # sales with their tax: an allowance on what was shipped
    EITHER = "either"  # of a refund that is not ours to decide: prepayments first


@dataclass(frozen=True, kw_only=True)
class RefundRequest:
    """What is to be refunded: an amount, or pieces and the shipping fee, or (neither) all that remains."""

    amount: int | None = None  # JPY
    side: Side | None = None  # of the amount; must be given when the order was shipped in part
    cancel: Mapping[int, int] = field(default_factory=dict)  # order line id → unshipped pieces
    returns: Mapping[int, int] = field(default_factory=dict)  # order line id → shipped pieces
    include_shipping: bool = False
    restock: bool = False  # whether the shipped pieces go back to stock
    reason: str = ""

    @classmethod
    def full(cls, *, restock: bool = False, reason: str = "") -> "RefundRequest":
        """Return a request for all that remains: pieces, shipping fee and what is owed."""
        return cls(restock=restock, reason=reason)

    @classmethod
    def of_amount(cls, amount: int, *, side: Side | None = None, reason: str = "") -> "RefundRequest":
        """Return a request for an amount (JPY)."""
        return cls(amount=amount, side=side, reason=reason)


@dataclass(frozen=True)
class PlannedLine:
    """A refund line that is not stored yet: its pieces, and the amounts by account (JPY)."""

    order_line_id: int | None = None
    tax_class: str = ""
    quantity: int = 0  # pieces refunded; 1 for the shipping fee
    returned: int = 0  # of these pieces: were shipped; the others never will be
    prepaid: int = 0
    recognised: int = 0
    payable: int = 0

    @property
    def cancelled(self) -> int:
        """The pieces of an order line that will never be shipped."""
        return self.quantity - self.returned if self.order_line_id else 0

    @property
    def amount(self) -> int:
        """The amount that the customer gets for this line."""
        return self.prepaid + self.recognised + self.payable


def plan_refund(order: Order, request: RefundRequest) -> list[PlannedLine]:
    """Return the planned lines of a refund; the caller has locked the order.

    - Pieces and the shipping fee are taken from their own lines: pieces to cancel at most out of what is
      prepaid, returned ones at most out of what was sold. All pieces that are left, together with the
      shipping fee, are the same as all that remains.
    - An amount is taken from what was paid in excess, then from what is owed since a refund failed, then from
      what is held for pieces that a withdrawn refund released, then from the tax buckets in proportion to
      what remains in them; the last two on the side that the request names.
    - All that remains is taken from every line.

    Raises `RefundRefused` when nothing is left, when a line has fewer pieces than asked for, and when the
    amount is larger than what remains; `SideMissing` when a side must be named.
    """
    lines = list(order.lines.order_by("position"))
    cancel, returns = (
        {pk: pieces for pk, pieces in asked.items() if pieces} for asked in (request.cancel, request.returns)
    )
    if (cancel.keys() | returns.keys()) - {line.pk for line in lines}:
        raise RefundRefused(_("A line belongs to another order. Please open the form again."))
    names_lines = bool(cancel or returns or request.include_shipping)
    if request.amount is not None and names_lines:
        raise RefundRefused(_("Give either an amount or lines, not both."))
    unallocated = unallocated_money(order)
    buckets = tax_buckets(order) if unallocated.is_funded else {}
    is_everything = (
        request.include_shipping
        and cancel == {line.pk: line.shippable for line in lines if line.shippable}
        and returns == {line.pk: line.returnable for line in lines if line.returnable}
    )
    if request.amount is not None:
        plan = _plan_amount(order, request.amount, request.side, lines, buckets, unallocated)
    elif is_everything or not names_lines:
        plan = _plan_all(order, lines, buckets, unallocated)
    else:
        plan = [
            _plan_pieces(buckets, line, cancel=cancel.get(line.pk, 0), returns=returns.get(line.pk, 0))
            for line in lines
            if line.pk in cancel or line.pk in returns
        ]
        if request.include_shipping:
            plan.append(_plan_shipping(order, buckets))
    if sum(line.amount for line in plan) == 0:
        raise RefundRefused(_("Nothing is left to be refunded."))
    return plan


def refundable_by_side(order: Order) -> dict[Side, int]:
    """Return how much (JPY) an amount may take from each side; empty when none needs to be named.

    Eight queries.
    """
    unallocated = unallocated_money(order)
    buckets = tax_buckets(order) if unallocated.is_funded else {}
    if not _needs_side(order.lines.all(), buckets):
        return {}
    return {
        side: unallocated.excess
        + unallocated.owed
        + sum(_on_side(bucket, side).remaining for bucket in buckets.values())
        for side in (Side.UNSHIPPED, Side.SHIPPED)
    }


def plan_forced_refund(refund: Refund) -> list[PlannedLine]:
    """Return the planned lines of a stored refund that happens even when the order has less than its amount.

    It was made in Stripe's dashboard already, or it belongs to a payment that must not be kept. What its
    payment or the order lacks was reserved for refunds in progress, one of which cannot succeed now. That
    part is taken from prepayments without a tax class, until `refunds_payable.settle_overdrawn` settles it.
    """
    order, amount = refund.order, refund.amount
    others = refund.payment.refunds.exclude(pk=refund.pk)
    in_progress = order.refunds.filter(status__in=Refund.IN_PROGRESS_STATUSES)
    if amount > refund.payment.amount - _sum_of(others.not_failed()):
        in_progress = in_progress.filter(payment=refund.payment)
    else:
        try:
            return plan_refund(order, RefundRequest.of_amount(amount, side=Side.EITHER))
        except RefundRefused:
            pass
    unallocated = unallocated_money(order)
    reserved = _sum_of(in_progress.exclude(pk=refund.pk))
    in_buckets = (
        sum(bucket.remaining for bucket in tax_buckets(order).values()) if unallocated.is_funded else 0
    )
    rest = amount - max(0, reserved - unallocated.overdrawn)
    available = max(0, min(rest, unallocated.excess + unallocated.owed + in_buckets))
    request = RefundRequest.of_amount(available, side=Side.EITHER)
    plan = plan_refund(order, request) if available else []
    return [*plan, PlannedLine(prepaid=amount - available)]


def missing_money(refund: Refund) -> int:
    """Return what the order lacks (JPY) of a stored refund that happens even so: it was kept.

    What was reserved for refunds in progress of the same payment is not missing: one of them cannot succeed.
    """
    unallocated = unallocated_money(refund.order)
    share = refund.amount
    others = refund.payment.refunds.exclude(pk=refund.pk)
    if share > refund.payment.amount - _sum_of(others.not_failed()):
        reserved = _sum_of(others.filter(status__in=Refund.IN_PROGRESS_STATUSES))
        share -= max(0, reserved - unallocated.overdrawn)
    return max(0, share - remaining_money(refund.order, unallocated))


def remaining_money(order: Order, unallocated: UnallocatedMoney | None = None) -> int:
    """Return what can still be refunded of an order (JPY). Seven queries, three with `unallocated`."""
    unallocated = unallocated or unallocated_money(order)
    left = unallocated.excess + unallocated.owed
    if unallocated.is_funded:
        left += sum(bucket.remaining for bucket in tax_buckets(order).values())
    return left


def _sum_of(refunds: QuerySet[Refund]) -> int:
    return refunds.aggregate(sum=Sum("amount"))["sum"] or 0


def _needs_side(lines: Iterable[OrderLine], buckets: Mapping[str, TaxBucket]) -> bool:
    """Return whether an amount may come from either side: both have money, and pieces are to be shipped."""
    return (
        any(line.shippable for line in lines)
        and any(bucket.prepaid_left for bucket in buckets.values())
        and any(bucket.recognised_left for bucket in buckets.values())
    )


def _on_side(bucket: TaxBucket, side: Side | None) -> TaxBucket:
    """Return the bucket with only the money of a side left."""
    if side is Side.UNSHIPPED:
        return replace(bucket, refunded_recognised=bucket.recognised)
    if side is Side.SHIPPED:
        return replace(bucket, refunded_prepaid=bucket.gross - bucket.recognised)
    return bucket


def _plan_amount(
    order: Order,
    amount: int,
    side: Side | None,
    lines: Iterable[OrderLine],
    buckets: Mapping[str, TaxBucket],
    unallocated: UnallocatedMoney,
) -> list[PlannedLine]:
    buckets = {tax_class: _on_side(bucket, side) for tax_class, bucket in buckets.items()}
    available = unallocated.excess + unallocated.owed + sum(bucket.remaining for bucket in buckets.values())
    if amount < 1 or amount > available:
        raise RefundRefused(_refusal(side) % {"available": f"{available:,}", "amount": f"{amount:,}"})
    excess = min(amount, unallocated.excess)
    owed = min(amount - excess, unallocated.owed)
    plan = [PlannedLine(prepaid=excess), PlannedLine(payable=owed)]
    released, buckets = _plan_released_pieces(order, amount - excess - owed, buckets)
    plan += released
    rest = amount - sum(line.amount for line in plan)
    if rest and side is None and _needs_side(lines, buckets):
        raise SideMissing(
            _("A part of the order was shipped: choose whether the amount is for that part or for the rest.")
        )
    remaining = [bucket.remaining for bucket in buckets.values()]
    for bucket, share in zip(buckets.values(), spread(rest, remaining), strict=True):
        prepaid = min(share, bucket.prepaid_left)
        plan.append(PlannedLine(tax_class=bucket.tax_class, prepaid=prepaid, recognised=share - prepaid))
    return [line for line in plan if line.amount]


def _refusal(side: Side | None) -> str:
    """Return the text for an amount that a side does not have."""
    if side is Side.UNSHIPPED:
        return _("Between ¥1 and ¥%(available)s can be refunded of what is not shipped, not ¥%(amount)s.")
    if side is Side.SHIPPED:
        return _("Between ¥1 and ¥%(available)s can be refunded of what was shipped, not ¥%(amount)s.")
    return _("An amount between ¥1 and ¥%(available)s can be refunded, not ¥%(amount)s.")


def _plan_released_pieces(
    order: Order, amount: int, buckets: Mapping[str, TaxBucket]
) -> tuple[list[PlannedLine], Mapping[str, TaxBucket]]:
    """Return the part of an amount that repays pieces released by withdrawn refunds; the buckets after it.

    See `IS_OF_RELEASED_PIECES`.
    """
    plan: list[PlannedLine] = []
    left = dict(buckets)
    for tax_class, bucket in buckets.items():
        prepaid = min(amount, bucket.held, bucket.prepaid_left)
        recognised = min(amount - prepaid, bucket.held_sales, bucket.recognised_left)
        if prepaid + recognised:
            withdrawn = RefundLine.objects.filter(
                refund__order=order, refund__withdrawn=True, order_line__isnull=False, tax_class=tax_class
            )
            line_id = withdrawn.values_list("order_line", flat=True).first()
            plan.append(
                PlannedLine(
                    order_line_id=line_id, tax_class=tax_class, prepaid=prepaid, recognised=recognised
                )
            )
            left[tax_class], _prepaid, _recognised = take(bucket, prepaid=prepaid, recognised=recognised)
            amount -= prepaid + recognised
    return plan, left


def _plan_all(
    order: Order, lines: Sequence[OrderLine], buckets: dict[str, TaxBucket], unallocated: UnallocatedMoney
) -> list[PlannedLine]:
    plan = [PlannedLine(payable=unallocated.owed)]
    if unallocated.is_funded:
        plan += [
            _plan_pieces(buckets, line, cancel=line.shippable, returns=line.returnable)
            for line in lines
            if line.refundable
        ]
        if order.shipping_fee and not is_shipping_refunded(order):
            plan.append(_plan_shipping(order, buckets))
    else:
        plan.append(PlannedLine(prepaid=unallocated.excess))
    for bucket in buckets.values():  # what the values of the lines left over
        plan.append(
            PlannedLine(
                tax_class=bucket.tax_class, prepaid=bucket.prepaid_left, recognised=bucket.recognised_left
            )
        )
    return [line for line in plan if line.amount or line.quantity]


def _plan_pieces(buckets: dict[str, TaxBucket], line: OrderLine, *, cancel: int, returns: int) -> PlannedLine:
    """Return the planned line of some pieces.

    Shipments count the value of a line from its first piece on, cancelled pieces from its last piece back. So
    the shipped and the cancelled pieces of a line add up to its total, to the yen.
    """
    if not 0 <= cancel <= line.shippable:
        raise RefundRefused(
            _("%(title)s: %(left)d pieces that are not shipped can be cancelled at most.")
            % {"title": line.packing_title, "left": line.shippable}
        )
    if not 0 <= returns <= line.returnable:
        raise RefundRefused(
            _("%(title)s: %(left)d pieces that were shipped can be refunded at most.")
            % {"title": line.packing_title, "left": line.returnable}
        )
    bucket = buckets.get(line.tax_class)
    if bucket is None:
        raise RefundRefused(_("The payment does not cover the order: refund an amount instead."))
    first_cancelled = line.quantity - line.cancelled - cancel
    buckets[line.tax_class], prepaid, recognised = take(
        bucket,
        prepaid=value_of_pieces(line.total, line.quantity, first_cancelled, cancel),
        recognised=value_of_pieces(line.total, line.quantity, line.returned, returns),
    )
    return PlannedLine(
        order_line_id=line.pk,
        tax_class=line.tax_class,
        quantity=cancel + returns,
        returned=returns,
        prepaid=prepaid,
        recognised=recognised,
    )


def _plan_shipping(order: Order, buckets: dict[str, TaxBucket]) -> PlannedLine:
    bucket = buckets.get(SHIPPING_CLASS)
    if bucket is None or not order.shipping_fee or is_shipping_refunded(order):
        raise RefundRefused(_("There is no shipping fee left to be refunded."))
    is_sold = is_shipping_fee_sold(order, buckets)
    buckets[SHIPPING_CLASS], prepaid, recognised = take(
        bucket,
        prepaid=0 if is_sold else order.shipping_fee,
        recognised=order.shipping_fee if is_sold else 0,
    )
    return PlannedLine(tax_class=SHIPPING_CLASS, quantity=1, prepaid=prepaid, recognised=recognised)


def has_shipping_fee_to_refund(order: Order) -> bool:
    """Return whether an order has a shipping fee that is neither refunded nor sold yet. Five queries."""
    is_open = bool(order.shipping_fee) and not is_shipping_refunded(order)
    return is_open and not is_shipping_fee_sold(order, tax_buckets(order))


def is_shipping_refunded(order: Order) -> bool:
    """Return whether the shipping fee was refunded, or a refund of it is in progress."""
    lines = RefundLine.objects.filter(IS_SHIPPING_LINE, refund__order=order, refund__withdrawn=False)
    return lines.exists()
