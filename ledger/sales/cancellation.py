"""Cancelling an order: its payment page is closed, its stock released, its money sent back; once."""

from datetime import datetime

from django.utils.translation import gettext as _

from kikaku.transactions import unit_of_work
from ledger.models import Order, OutgoingMail, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import checkout, mail, orders, refunds
from ledger.stripe.client import StripeRefused, StripeUnavailable
from ledger.stripe.methods import method_named, method_of_voucher


class CancelRefused(Exception):
    """The order can not be cancelled (any more); the text says what to do instead."""


def cancel(*, order: Order, reason: str, actor: str, now: datetime) -> Order:
    """Cancel an order of which nothing was shipped; `reason` is one of `Order.CancelReason`.

    An unpaid order's page is closed at Stripe before the stock is released; money that arrived meanwhile, and that of
    a paid order, is sent back whole. A voucher that is out can not be revoked: what is paid with it later is sent back
    too, with a discrepancy. Cancelling again changes nothing. Raises `CancelRefused`, and
    `checkout.PaymentUnavailable` when Stripe must be asked and does not answer; then nothing changed.
    """
    order.refresh_from_db()
    if order.status == OrderStatus.PENDING:
        _close_pages(order, now=now)
    for refund in _cancel(order.pk, reason=reason, actor=actor, now=now):
        refunds.send(refund, now=now)
    order.refresh_from_db()
    return order


def _close_pages(order: Order, *, now: datetime) -> None:
    """Make sure at Stripe that nobody can pay the order any more."""
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
def _cancel(order_id: int, *, reason: str, actor: str, now: datetime) -> list[Refund]:
    """Cancel an order in one transaction; returns the refunds that are to be sent after it."""
    order = Order.objects.lock(order_id)
    if order.status == OrderStatus.CANCELLED:
        return []
    if order.status not in (OrderStatus.PENDING, OrderStatus.PAID):
        raise CancelRefused(_("Something of the order was shipped already: refund what is left instead."))
    if order.attempts.live().exists():
        raise CancelRefused(_("The customer has just opened the payment page. Please try again."))
    was_paid = order.status == OrderStatus.PAID
    written: list[Refund] = []
    if was_paid and any(refunds.refundable(payment) for payment in order.payments.all()):
        # releases the stock and ends the order too, because nothing is left to ship
        written.append(
            refunds.write(
                order=order,
                request=refunds.everything(reason=_("The order was cancelled.")),
                nonce=f"cancel-{order.pk}",
                actor=actor,
                now=now,
                cancel_reason=reason,
            )
        )
        order.refresh_from_db()
    orders.end(order, reason=reason, actor=actor, now=now)
    if not was_paid:  # paid, but not what the order costs: it never counted, and goes back as it came
        written += [
            refunds.give_back(payment, reason=_("The order was cancelled."), now=now)
            for payment in order.payments.all()
            if refunds.refundable(payment)
        ]
    waiting = order.attempts.waiting().first()
    mail.queue(
        OutgoingMail.Kind.CANCELLED,
        order,
        f"order:{order.pk}",
        {
            "refunded": sum(refund.amount for refund in written),
            "charged": order.payments.exists(),
            "to_bank_account": any(
                method_named(refund.payment.method).refunds_to_bank_account for refund in written
            ),
            "voucher_method": method_of_voucher(waiting) if waiting else None,
        },
        now=now,
    )
    return written
