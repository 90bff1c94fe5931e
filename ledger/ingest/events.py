"""The handlers of Stripe's events. They write to the database only, idempotently, in any order of events."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kikaku.days import business_day
from kikaku.transactions import require_transaction
from ledger.books.discrepancies import note_unknown_money
from ledger.models import CheckoutAttempt, OrderEvent, StripeEvent
from ledger.sales import checkout_status, history, payments, refund_status
from ledger.stripe import captures, methods, schema

logger = logging.getLogger(__name__)

# How long a refund may wait for the event of its payment; after that the payment is not ours.
REFUND_GRACE_PERIOD = timedelta(hours=1)


class PaymentNotYetKnown(Exception):
    """An event arrived before the one that it depends on; Stripe's retry or our job processes it again."""


@dataclass(frozen=True)
class Handler:
    """What an event does, and Stripe's name of the object that it carries (its shape is checked first)."""

    kind: str
    apply: Callable[[StripeEvent, Any, datetime], None]


def handle(event: StripeEvent, *, now: datetime) -> StripeEvent.Status:
    """Apply an event inside the caller's transaction; return the status that it has then.

    An event of a type without a handler changes nothing; it is unhandled if its type is in
    `UNHANDLED_TYPES`. Raises `InvalidStripeObject`, and `PaymentNotYetKnown` when the event must be processed
    again later.
    """
    require_transaction()
    handler = HANDLERS.get(event.type)
    if handler is None:
        is_unhandled = event.type.startswith(UNHANDLED_TYPES)
        return StripeEvent.Status.UNHANDLED if is_unhandled else StripeEvent.Status.DONE
    stripe_object = event.payload["data"]["object"]
    schema.check(stripe_object, handler.kind)
    handler.apply(event, stripe_object, now)
    return StripeEvent.Status.DONE


def _session_completed(event: StripeEvent, session: Any, now: datetime) -> None:
    """Record the payment of a completed session, or its unpaid voucher.

    Only payment_status `paid` means that money was captured.
    """
    attempt = payments.find_attempt(captures.read_metadata(session["metadata"]))
    if attempt is not None:
        checkout_status.record_completed_session(attempt, session, occurred_at=event.created, now=now)
    else:
        captured = captures.read_session(session, occurred_at=event.created)
        if captured is not None:
            payments.record_payment(captured, now=now)


def _session_expired(event: StripeEvent, session: Any, now: datetime) -> None:
    """Expire the attempt and, when its time is over, cancel its order."""
    attempt = payments.find_attempt(captures.read_metadata(session["metadata"]))
    if attempt is not None and attempt.session_id in (None, session["id"]):
        checkout_status.expire_attempt(attempt, now=now)


def _intent_succeeded(event: StripeEvent, intent: Any, now: datetime) -> None:
    captured = captures.read_intent(intent, occurred_at=event.created)
    if captured is not None:
        payments.record_payment(captured, now=now)


def _session_failed(event: StripeEvent, session: Any, now: datetime) -> None:
    """End an attempt whose voucher was not paid in time."""
    attempt = payments.find_attempt(captures.read_metadata(session["metadata"]))
    if attempt is not None:
        checkout_status.expire_voucher(attempt, now=now)


def _intent_requires_action(event: StripeEvent, intent: Any, now: datetime) -> None:
    """Store the voucher of a customer who pays at a convenience store; Stripe handles card authentication."""
    attempt = payments.find_attempt(captures.read_metadata(intent["metadata"]))
    voucher = methods.find_voucher(intent)
    if attempt is not None and voucher is not None:
        checkout_status.record_voucher(attempt, voucher, now=now)


def _intent_failed(event: StripeEvent, intent: Any, now: datetime) -> None:
    """Store the error, or end the attempt if its voucher expired.

    After an error the page stays open, and the customer may try another card.
    """
    attempt = payments.find_attempt(captures.read_metadata(intent["metadata"]))
    error = intent["last_payment_error"] or {}
    if attempt is not None and methods.has_expired_voucher(intent):
        checkout_status.expire_voucher(attempt, now=now)
    elif attempt is not None:
        message = str(error.get("message") or error.get("code") or "")[:300]
        history.record(
            attempt.order_id,
            OrderEvent.Kind.PAYMENT_FAILED,
            actor=history.CUSTOMER,
            now=now,
            fact=f"event:{event.pk}",
            attempt=attempt.pk,
            message=message,
        )
        CheckoutAttempt.objects.live().filter(pk=attempt.pk).update(last_error=message)


def _intent_canceled(event: StripeEvent, intent: Any, now: datetime) -> None:
    """End an attempt whose voucher was cancelled at Stripe; other intents are cancelled with their page."""
    attempt = payments.find_attempt(captures.read_metadata(intent["metadata"]))
    if attempt is not None and attempt.status == CheckoutAttempt.Status.WAITING:
        checkout_status.expire_voucher(attempt, now=now)


def _charge_changed(event: StripeEvent, charge: Any, now: datetime) -> None:
    """Record the payment of a charge, or add its card and time of capture to the payment that we have.

    Its refunds arrive as refund events.
    """
    captured = captures.read_charge(charge)
    if captured is not None and captured.payment_intent:
        payments.record_payment(captured, now=now)
    elif captured is not None:
        note_unknown_money(
            captured.charge,
            amount=captured.amount,
            currency=captured.currency,
            day=business_day(captured.occurred_at),
            detail="当店の注文に属さない入金（PaymentIntent なし）",
            now=now,
        )


def _refund_changed(event: StripeEvent, refund: Any, now: datetime) -> None:
    """Record the state of a refund, ours or one made in Stripe's dashboard."""
    try:
        refund_status.apply_stripe_refund(refund, now=now, day=business_day(event.created))
    except refund_status.UnknownPayment as error:
        if now - event.received_at < REFUND_GRACE_PERIOD:  # both by our clock
            raise PaymentNotYetKnown(str(error)) from error
        note_unknown_money(
            refund["id"],
            amount=-refund["amount"],
            currency=refund["currency"],
            day=business_day(event.created),
            detail=f"当店の入金ではない {error} の返金",
            now=now,
        )


HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": Handler("checkout.session", _session_completed),
    "checkout.session.async_payment_succeeded": Handler("checkout.session", _session_completed),
    "checkout.session.async_payment_failed": Handler("checkout.session", _session_failed),
    "checkout.session.expired": Handler("checkout.session", _session_expired),
    "payment_intent.requires_action": Handler("payment_intent", _intent_requires_action),
    "payment_intent.succeeded": Handler("payment_intent", _intent_succeeded),
    "payment_intent.payment_failed": Handler("payment_intent", _intent_failed),
    "payment_intent.canceled": Handler("payment_intent", _intent_canceled),
    "charge.succeeded": Handler("charge", _charge_changed),
    "charge.updated": Handler("charge", _charge_changed),
    "charge.refunded": Handler("charge", _charge_changed),
    "refund.created": Handler("refund", _refund_changed),
    "refund.updated": Handler("refund", _refund_changed),
    "refund.failed": Handler("refund", _refund_changed),
}

# The beginnings of types that concern the shop's money and have no effect yet: a person acts at Stripe.
UNHANDLED_TYPES = ("charge.dispute.", "payout.", "radar.early_fraud_warning.", "review.")
