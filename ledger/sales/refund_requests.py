"""Refunds as rows: what can be refunded is decided and stored here, before Stripe is called.

The row's nonce becomes Stripe's idempotency key, so that a double click, a retry and the job move the money
once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Sum
from django.utils.translation import gettext as _

from kikaku.transactions import require_transaction, unit_of_work
from ledger.models import Order, OrderEvent, OrderLine, Payment, Refund, RefundLine
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import history, stock
from ledger.sales.kept_money import take_back
from ledger.sales.refund_failure import resolve_excess, resolve_settled
from ledger.sales.refund_plan import (
    PlannedLine,
    RefundRefused,
    RefundRequest,
    has_shipping_fee_to_refund,
    plan_forced_refund,
    plan_refund,
)
from ledger.sales.seen import OrderChanged, digest


def refundable_amount(payment: Payment) -> int:
    """Return how much of a payment (JPY) can still be refunded."""
    refunded = payment.refunds.not_failed().aggregate(sum=Sum("amount"))["sum"] or 0
    return payment.amount - refunded


@dataclass(frozen=True)
class RefundPreview:
    """What a refund would do, as staff see it before they confirm it."""

    amount: int  # JPY, for the customer; the sum of the next three
    prepaid: int  # taken from prepayments
    recognised: int  # taken from sales and their tax
    payable: int  # owed since an earlier refund failed
    cancelled: Sequence[tuple[str, int]]  # title → pieces that will not be shipped
    returned: Sequence[tuple[str, int]]  # title → pieces that were shipped
    restock: bool
    plan: str  # digest of all of it, by account and payment


@unit_of_work
def preview(*, order: Order, request: RefundRequest) -> RefundPreview:
    """Return what a refund would do now. Raises `RefundRefused` exactly as the refund would."""
    order = Order.objects.lock(order.pk)
    lines = _lines_of(order)
    plan, payment = _plan_for(order, request, lines)
    named = [(lines[part.order_line_id].packing_title, part) for part in plan if part.order_line_id]
    return RefundPreview(
        amount=sum(part.amount for part in plan),
        prepaid=sum(part.prepaid for part in plan),
        recognised=sum(part.recognised for part in plan),
        payable=sum(part.payable for part in plan),
        cancelled=[(title, part.cancelled) for title, part in named if part.cancelled],
        returned=[(title, part.returned) for title, part in named if part.returned],
        restock=request.restock,
        plan=_digest(plan, payment, request),
    )


def _lines_of(order: Order) -> dict[int, OrderLine]:
    return {line.pk: line for line in order.lines.order_by("item_id", "pk")}


def _plan_for(
    order: Order, request: RefundRequest, lines: Mapping[int, OrderLine], payment: Payment | None = None
) -> tuple[list[PlannedLine], Payment]:
    """Return the plan of a refund of a locked order, and its payment. Raises `RefundRefused`."""
    if order.status == OrderStatus.PENDING:
        raise RefundRefused(_("The order is not paid: there is nothing to refund."))
    plan = plan_refund(order, request)
    _check_something_left_to_ship(order, lines, plan)
    return plan, payment or _choose_payment(order, sum(part.amount for part in plan))


def _digest(plan: Sequence[PlannedLine], payment: Payment, request: RefundRequest) -> str:
    return digest([payment.pk, request.restock, [astuple(part) for part in plan]])


def store_refund(
    *,
    order: Order,
    request: RefundRequest,
    nonce: str,
    actor: str,
    now: datetime,
    payment: Payment | None = None,
    confirmed: str = "",
) -> Refund:
    """Store a refund and move its pieces, inside the caller's transaction, with the order locked.

    The same nonce returns the same refund. The state of the order is left to the caller. Without a `payment`
    one that has the amount is chosen. `confirmed` is the plan of the preview that a person has confirmed.
    Raises `RefundRefused` when the order does not have what is asked for, and `OrderChanged` when the plan is
    not the confirmed one.
    """
    require_transaction()
    stored = Refund.objects.filter(nonce=nonce).first()
    if stored is not None:
        if stored.order_id != order.pk:
            raise RefundRefused(_("This form belongs to another order. Please open it again."))
        return stored
    lines = _lines_of(order)
    plan, payment = _plan_for(order, request, lines, payment)
    if confirmed and _digest(plan, payment, request) != confirmed:
        raise OrderChanged
    refund = Refund.objects.create(
        order=order,
        payment=payment,
        nonce=nonce,
        amount=sum(part.amount for part in plan),
        reason=request.reason[:200],
        restock=request.restock,
        requested_at=now,
        actor=actor,
    )
    store_lines(refund, plan)
    _move_pieces(refund, lines, plan, now=now)
    resolve_settled(order, now=now)
    _resolve_excess(order, plan, now=now)
    by_line = [(part.order_line_id, part) for part in plan if part.order_line_id]
    pieces = {
        "cancelled": {str(lines[pk].position): part.cancelled for pk, part in by_line if part.cancelled},
        "returned": {str(lines[pk].position): part.returned for pk, part in by_line if part.returned},
    }
    record_event(
        OrderEvent.Kind.REFUND_REQUESTED,
        refund,
        actor=actor,
        now=now,
        reason=refund.reason,
        **{name: counts for name, counts in pieces.items() if counts},
    )
    return refund


def store_payment_refund(payment: Payment, *, reason: str, now: datetime) -> Refund:
    """Store a refund of what is left of a payment that must not be kept, inside the caller's transaction.

    The job sends it. The same payment returns the same refund. A part of it may have been refunded in
    Stripe's dashboard; the caller makes sure that something is left.
    """
    require_transaction()
    nonce = f"payment-{payment.payment_intent}"[:64]
    stored = Refund.objects.filter(nonce=nonce).first()
    if stored is not None:
        return stored
    refund = Refund.objects.create(
        order_id=payment.order_id,
        payment=payment,
        nonce=nonce,
        amount=refundable_amount(payment),
        reason=reason,
        requested_at=now,
    )
    store_forced_lines(refund, now=now)
    record_event(OrderEvent.Kind.REFUND_REQUESTED, refund, actor=history.SYSTEM, now=now, reason=reason)
    return refund


def store_forced_lines(refund: Refund, *, now: datetime) -> None:
    """Store the lines of a stored refund that happens whatever the order has; see `plan_forced_refund`."""
    take_back(refund, now=now)
    plan = plan_forced_refund(refund)
    store_lines(refund, plan)
    _resolve_excess(refund.order, plan, now=now)


def _resolve_excess(order: Order, plan: Sequence[PlannedLine], *, now: datetime) -> None:
    """Resolve what asked about money that was paid too much, if a stored plan took the last of it."""
    if any(part.prepaid and not part.tax_class for part in plan):
        resolve_excess(order, now=now)


def store_lines(refund: Refund, plan: Sequence[PlannedLine]) -> None:
    """Store the lines of a refund."""
    require_transaction()
    RefundLine.objects.bulk_create(
        RefundLine(
            refund=refund,
            order_line_id=part.order_line_id,
            tax_class=part.tax_class,
            quantity=part.quantity,
            returned=part.returned,
            prepaid=part.prepaid,
            recognised=part.recognised,
            payable=part.payable,
        )
        for part in plan
    )


def record_event(kind: OrderEvent.Kind, refund: Refund, *, actor: str, now: datetime, **data: Any) -> None:
    """Record an act on a refund in its order's history; a refund may wait several times."""
    fact = f"refund:{refund.pk}"
    if kind in (OrderEvent.Kind.REFUND_WAITING, OrderEvent.Kind.REFUND_PENDING):
        fact = history.repeatable(fact, now)
    history.record(
        refund.order_id,
        kind,
        actor=actor,
        now=now,
        fact=fact,
        refund=refund.pk,
        amount=refund.amount,
        **data,
    )


def _check_something_left_to_ship(
    order: Order, lines: Mapping[int, OrderLine], plan: Sequence[PlannedLine]
) -> None:
    """Raise `RefundRefused` when the shipping fee would be kept although nothing is left to ship."""
    cancelled = {part.order_line_id: part.cancelled for part in plan if part.cancelled}
    if order.status not in SHIPPABLE_STATUSES or not cancelled:
        return
    fee_included = any(part.order_line_id is None and part.quantity for part in plan)
    if not has_shipping_fee_to_refund(order):
        return
    if not fee_included and all(line.shippable <= cancelled.get(pk, 0) for pk, line in lines.items()):
        raise RefundRefused(
            _("Nothing would be left to ship. Refund the shipping fee too, or keep at least one piece.")
        )


def _choose_payment(order: Order, amount: int) -> Payment:
    """Return the first payment of which the amount can be refunded. Raises `RefundRefused` without one."""
    refundable = {
        payment: refundable_amount(payment) for payment in order.payments.order_by("captured_at", "pk")
    }
    for payment, left in refundable.items():
        if left >= amount:
            return payment
    raise RefundRefused(
        _("¥%(left)s can be refunded at most.") % {"left": f"{max(refundable.values(), default=0):,}"}
    )


def _move_pieces(
    refund: Refund, lines: Mapping[int, OrderLine], plan: Sequence[PlannedLine], *, now: datetime
) -> None:
    """Release the unshipped pieces of a refund; take the shipped ones back to stock if asked for.

    The order's lines are updated before its stock items, and these in the order of their ids, as everywhere.
    """
    pieces = [(lines[part.order_line_id], part) for part in plan if part.order_line_id and part.quantity]
    for line, part in pieces:
        OrderLine.objects.filter(pk=line.pk).update(
            cancelled=F("cancelled") + part.cancelled,
            reserved=F("reserved") - part.cancelled,
            returned=F("returned") + part.returned,
        )
    for line, part in sorted(pieces, key=lambda pair: (pair[0].item_id, pair[0].pk)):
        if part.cancelled:
            stock.release({line.item_id: part.cancelled})
        if part.returned and refund.restock:
            stock.take_back(
                line.item_id,
                part.returned,
                source=f"refund:{refund.pk}:{line.pk}",
                actor=refund.actor,
                now=now,
            )
