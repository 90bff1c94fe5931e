"""Cancel an order: close its payment page, release its stock and refund its money."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.translation import gettext as _

from kikaku.transactions import forbid_transaction, unit_of_work
from ledger.books.order_buckets import unallocated_money
from ledger.models import Order, Payment, Refund
from ledger.models.orders import SHIPPABLE_STATUSES, OrderStatus
from ledger.sales import checkout, history, orders
from ledger.sales.ceiling import require_within_ceiling
from ledger.sales.kept_money import keep_cancellation_fee
from ledger.sales.order_end import (
    end_rest,
    has_money_for_goods,
    is_rest_cancelled,
    queue_cancelled_mail,
)
from ledger.sales.refund_plan import RefundRequest, has_shipping_fee_to_refund, remaining_money
from ledger.sales.refund_requests import refundable_amount, store_payment_refund, store_refund
from ledger.sales.refunds import send_refund
from ledger.sales.seen import require_unchanged
from ledger.stripe.client import StripeRefused, StripeUnavailable


class CancelRefused(Exception):
    """The order cannot be cancelled, or cannot be cancelled any more; the message says what to do instead."""


def cancel(
    *,
    order: Order,
    reason: str,
    actor: str,
    now: datetime,
    seen: str = "",
    fee: int = 0,
    ceiling: int | None = None,
) -> Order:
    """Cancel what is not shipped of an order; `reason` is one of `Order.CancelReason`.

    The payment page of an unpaid order is closed at Stripe before its stock is released. The money of a paid
    order, and money that arrived meanwhile, is refunded completely, less a cancellation `fee` (JPY) of a paid
    order: it becomes other income, see `ledger.sales.kept_money`. An issued voucher cannot be revoked: a
    later payment with it is refunded too, with a discrepancy. Of a partially shipped order the rest is
    cancelled: for a fee, and what is left of its money is refunded, or if no money is left for it. Cancelling
    again changes nothing. `seen` is the state that the decision is based on, see `ledger.sales.seen`;
    `ceiling` is what all refunds of the order may come to (JPY).

    Raises `CancelRefused`, `KeepRefused`, `RefundRefused`, `AboveCeiling`, `OrderChanged`, and
    `checkout.PaymentUnavailable` when Stripe must be asked and does not answer. The order is not cancelled
    then, but its payment page may be closed.
    """
    forbid_transaction()
    order.refresh_from_db()
    if order.status == OrderStatus.PENDING:
        require_unchanged(order, seen)
        _close_payment_pages(order, now=now)
    stored = cancel_and_store_refunds(
        order.pk, reason=reason, actor=actor, now=now, seen=seen, fee=fee, ceiling=ceiling
    )
    for refund in stored:
        send_refund(refund, now=now)
    order.refresh_from_db()
    return order


def _close_payment_pages(order: Order, *, now: datetime) -> None:
    """Close the live payment pages of an order at Stripe, so that it cannot be paid any more."""
    for attempt in order.attempts.live():
        try:
            checkout.close(attempt, now=now)
        except StripeUnavailable as error:
            raise checkout.PaymentUnavailable(str(error)) from error
        except StripeRefused as error:
            raise CancelRefused(
                _("Stripe does not say whether the payment page is closed: %(reason)s") % {"reason": error}
            ) from error


@unit_of_work
def cancel_and_store_refunds(
    order_id: int,
    *,
    reason: str,
    actor: str,
    now: datetime,
    seen: str = "",
    fee: int = 0,
    ceiling: int | None = None,
) -> list[Refund]:
    """Cancel an order in one transaction; return the refunds that are to be sent after its commit.

    For a caller that does more in the same transaction: the job sends refunds that nobody sent. The payment
    page of an unpaid order must be closed before. Raises what `cancel` raises, but `PaymentUnavailable`.
    """
    order = Order.objects.lock(order_id)
    if order.status == OrderStatus.CANCELLED or is_rest_cancelled(order):
        return []
    require_unchanged(order, seen)
    refunds = _cancel(order, reason=reason, actor=actor, now=now, fee=fee)
    if refunds:
        require_within_ceiling(order, ceiling)
    return refunds


def _cancel(order: Order, *, reason: str, actor: str, now: datetime, fee: int) -> list[Refund]:
    """Cancel a locked order; return the refunds that are to be sent."""
    if fee and order.status not in SHIPPABLE_STATUSES:
        raise CancelRefused(
            _("A cancellation fee can be kept only of a paid order that is not shipped completely.")
        )
    if order.status == OrderStatus.PARTIALLY_SHIPPED and (fee or not has_money_for_goods(order)):
        return _cancel_rest(order, fee, actor=actor, now=now)
    if order.status not in (OrderStatus.PENDING, OrderStatus.PAID):
        raise CancelRefused(
            _(
                "Something of the order was shipped already: enter a cancellation fee, or refund what is "
                "left instead."
            )
        )
    if order.attempts.live().exists():
        raise CancelRefused(_("The customer has just opened the payment page. Please try again."))
    refundable = [payment for payment in order.payments.all() if refundable_amount(payment)]
    was_paid = order.status == OrderStatus.PAID
    refunds: list[Refund] = []
    if fee:
        keep_cancellation_fee(order, fee, actor=actor, now=now)
    if was_paid and refundable and not (fee and remaining_money(order) == 0):
        refunds = _store_refunds_of_everything(order, refundable, actor=actor, now=now)
    orders.cancel_order(order, reason=reason, actor=actor, now=now)
    if not was_paid:  # money was captured, but not the order's total: refund what is left of each payment
        refunds += [
            store_payment_refund(payment, reason=_("The order was cancelled."), now=now)
            for payment in refundable
        ]
    if actor != history.CUSTOMER or order.payments.exists():  # the buyer knows of it already
        queue_cancelled_mail(order, refunds, fee=fee, now=now)
    return refunds


def _cancel_rest(order: Order, fee: int, *, actor: str, now: datetime) -> list[Refund]:
    """Cancel what is not shipped of a locked order, less a fee; return the refund of what is left of it."""
    lines = list(order.lines.unshipped().order_by("position"))
    if fee:
        keep_cancellation_fee(order, fee, actor=actor, now=now)
    refunds = []
    if has_money_for_goods(order):
        request = RefundRequest(
            cancel={line.pk: line.shippable for line in lines},
            include_shipping=has_shipping_fee_to_refund(order),
            reason=_("The order was cancelled."),
        )
        nonce = f"cancel-{order.pk}"
        refunds = [store_refund(order=order, request=request, nonce=nonce, actor=actor, now=now)]
    end_rest(order, lines, refunds, fee=fee, actor=actor, now=now)
    return refunds


def _store_refunds_of_everything(
    order: Order, refundable: Sequence[Payment], *, actor: str, now: datetime
) -> list[Refund]:
    """Store the refunds of all that is left of a paid order: one for each payment of which something is left.

    Only an order that was paid twice, and whose second payment could not be sent back, has more than one; and
    one that was paid too much, for what belongs to no line of it.
    """
    reason = _("The order was cancelled.")
    *smaller, largest = sorted(refundable, key=refundable_amount)
    # what was kept of their money is not refunded
    rest = remaining_money(order) - refundable_amount(largest) if smaller else 0
    refunds = []
    for payment in smaller:
        amount = min(rest, refundable_amount(payment))
        if amount > 0:
            request = RefundRequest.of_amount(amount, reason=reason)
            nonce = f"cancel-{order.pk}-{payment.pk}"
            refunds.append(
                store_refund(order=order, request=request, nonce=nonce, actor=actor, now=now, payment=payment)
            )
            rest -= amount
    excess = 0 if smaller or refundable_amount(largest) <= order.total else unallocated_money(order).excess
    if excess:
        request = RefundRequest.of_amount(excess, reason=reason)
        nonce = f"cancel-{order.pk}-excess"
        refunds.append(store_refund(order=order, request=request, nonce=nonce, actor=actor, now=now))
    everything = RefundRequest.full(reason=reason)
    nonce = f"cancel-{order.pk}"
    return [*refunds, store_refund(order=order, request=everything, nonce=nonce, actor=actor, now=now)]
