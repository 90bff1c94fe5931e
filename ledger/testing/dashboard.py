"""What happens at Stripe without the shop: acts in its dashboard, a second payment, a refund that fails."""

from datetime import timedelta

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt, Order, Payment, Refund
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import set_clock

FAILS_LATER = "4000000000005126"  # a card whose refunds fail later


def refund_in_dashboard(payment: Payment, amount: int | None = None) -> str:
    """Refund an amount of a payment, or what is left of it; return the refund's id at Stripe."""
    params = {"payment_intent": payment.payment_intent} | ({"amount": amount} if amount else {})
    return str(stripe_client.client().v1.refunds.create(params).id)  # type: ignore[arg-type]


def cancel_refund_in_dashboard(refund: Refund) -> None:
    """Cancel a refund that waits for the customer's bank account."""
    stripe_client.client().v1.refunds.cancel(str(refund.stripe_id))


def order_paid_twice(sandbox: Sandbox, *, second_card: str = "4242424242424242") -> Order:
    """Return an order with two payments of its total, whose second one our job has not sent back yet."""
    order = build.order()
    first = build.session_of(order)
    # a second open page: the product code would not create one
    CheckoutAttempt.objects.filter(order=order).update(status=CheckoutAttempt.Status.EXPIRED)
    second = build.session_of(order)
    for session, card in ((first, "4242424242424242"), (second, second_card)):
        sandbox.pay(session, card=card)
        build.deliver(sandbox)
    order.refresh_from_db()
    return order


def failed_later(sandbox: Sandbox, amount: int) -> Refund:
    """Return a refund that Stripe accepted and that failed at the bank days later."""
    order = build.paid_order(sandbox, card=FAILS_LATER)
    build.ship(order)
    refund = build.refund(order, amount)
    build.deliver(sandbox)
    set_clock(sandbox, build.now_of(sandbox) + timedelta(days=10))
    build.deliver(sandbox)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.FAILED
    return refund
