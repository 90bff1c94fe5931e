"""Ask Stripe about a completed payment page whose event has not arrived, once for each page."""

import logging
from datetime import datetime

from kikaku.transactions import forbid_transaction
from ledger.models import CheckoutAttempt, Order
from ledger.sales import checkout
from ledger.stripe import client
from ledger.stripe.client import StripeRefused, StripeUnavailable

logger = logging.getLogger(__name__)


def ask_once(order: Order, *, now: datetime) -> bool:
    """Ask Stripe whether the order's page is complete, and record its payment or voucher.

    Returns whether this call asked: however often it is called, each page is asked about once. What Stripe
    does not say now comes with the event, or with the balance job.
    """
    forbid_transaction()
    unknown = order.attempts.payable().filter(voucher_expires_at=None, asked_at=None).exclude(session_id=None)
    attempt = unknown.order_by("-pk").first()
    if attempt is None:
        return False
    if not CheckoutAttempt.objects.filter(pk=attempt.pk, asked_at=None).update(asked_at=now):
        return False  # another request was quicker
    try:
        session = client.retrieve_session(str(attempt.session_id))
    except (StripeUnavailable, StripeRefused) as error:
        logger.warning("Stripe does not say whether order %s is paid: %s", order.number, error)
        return True
    if session["status"] == "complete":
        checkout.store_completed_session(attempt, session, now=now)
    return True
