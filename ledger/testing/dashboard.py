"""What staff do in Stripe's dashboard, without the shop; and customers who pay twice."""

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt, Order, Payment, Refund
from ledger.stripe import client as stripe_client
from ledger.testing import build


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
