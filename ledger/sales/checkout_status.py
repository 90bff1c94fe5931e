"""The status of a payment page as Stripe reports it: paid, waiting for its voucher, or expired.

Everything here is part of the caller's transaction and locks the order first. The calls to Stripe are in
`ledger.sales.checkout`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import QuerySet

from kikaku.transactions import require_transaction
from ledger.models import CheckoutAttempt, Order, OrderEvent
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail, orders, payments
from ledger.stripe import captures, methods
from ledger.stripe.methods import Voucher


class Outcome(StrEnum):
    """What `close` found at Stripe."""

    EXPIRED = "expired"  # it cannot be paid any more
    VOUCHER_EXPIRED = "voucher_expired"  # it cannot be paid any more, and this call cancelled the order
    PAID = "paid"
    WAITING = "waiting"  # a voucher may still be paid
    UNCLEAR = "unclear"  # Stripe says that it is paid and names no payment: a person decides


def record_completed_session(
    attempt: CheckoutAttempt, session: dict[str, Any], *, occurred_at: datetime, now: datetime
) -> Outcome:
    """Record a session that is complete at Stripe: its payment when it is paid, its voucher when it is not.

    A session that names no payment, or needed none, is no voucher: a person looks at it. Part of the caller's
    transaction. A retrieved session has its PaymentIntent expanded, which shows the state of the voucher; the
    session in an event has only the intent's id.
    """
    require_transaction()
    # everywhere the order is locked before anything else is written: two transactions cannot deadlock
    order = Order.objects.lock(attempt.order_id)
    captured = captures.read_session(session, occurred_at=occurred_at)
    if captured is not None:
        _if_payable(attempt).update(status=CheckoutAttempt.Status.COMPLETE)
        payments.record_payment(captured, now=now, locked=order)
        return Outcome.PAID
    if session["payment_status"] == "no_payment_required":
        payments.note_missing_payment(order, session["id"], now=now)
        mark_expired(attempt, actor=history.STRIPE, now=now)  # it cannot be paid any more
        return Outcome.EXPIRED
    if session["payment_status"] != "unpaid":
        payments.note_missing_payment(order, session["id"], now=now)
        _if_payable(attempt).update(status=CheckoutAttempt.Status.COMPLETE)
        return Outcome.UNCLEAR
    if code := methods.voucher_method_among(session["payment_method_types"] or []):
        CheckoutAttempt.objects.filter(pk=attempt.pk, method="").update(method=code)
        attempt.method = attempt.method or code
    intent = session["payment_intent"]
    if intent is None or isinstance(intent, str):
        record_voucher(attempt, None, now=now)
    elif intent["status"] in ("requires_payment_method", "canceled"):
        return Outcome.VOUCHER_EXPIRED if expire_voucher(attempt, now=now) else Outcome.EXPIRED
    else:
        record_voucher(attempt, methods.find_voucher(intent), now=now)
    return Outcome.WAITING


def record_voucher(attempt: CheckoutAttempt, voucher: Voucher | None, *, now: datetime) -> None:
    """Mark the attempt as waiting for its voucher to be paid.

    Once the voucher's details are known, they are stored and mailed, once. `checkout.session.completed` and
    `payment_intent.requires_action` both report a voucher, in either order; only the latter contains its
    details. Part of the caller's transaction.
    """
    require_transaction()
    order = Order.objects.lock(attempt.order_id)
    _if_payable(attempt).update(status=CheckoutAttempt.Status.WAITING)
    if voucher is None:
        return
    stored = CheckoutAttempt.objects.filter(
        pk=attempt.pk, status=CheckoutAttempt.Status.WAITING, voucher_expires_at=None
    ).update(
        method=voucher.method,
        voucher_url=voucher.url,
        voucher_expires_at=voucher.expires_at,
        voucher_codes=voucher.codes,
    )
    if not stored:
        return
    history.record(
        order,
        OrderEvent.Kind.VOUCHER_ISSUED,
        actor=history.CUSTOMER,
        now=now,
        fact=f"attempt:{attempt.pk}",
        attempt=attempt.pk,
        pay_until=voucher.expires_at,
    )
    if order.status == OrderStatus.PENDING:
        attempt.refresh_from_db()
        kind = methods.VOUCHER_METHODS[voucher.method].voucher_mail
        mail.queue(kind, order, f"attempt:{attempt.pk}", {"attempt": attempt}, now=now)


def expire_voucher(attempt: CheckoutAttempt, *, now: datetime) -> bool:
    """Cancel the order of a voucher that cannot be paid any more, and mail the customer.

    Part of the caller's transaction. Returns whether this call cancelled the order; it may have been
    cancelled before.
    """
    require_transaction()
    order = Order.objects.lock(attempt.order_id)
    mark_expired(attempt, actor=history.STRIPE, now=now)
    cancelled = cancel_unpaid(order, now=now)
    if cancelled:
        method = methods.method_of_voucher(attempt)
        if method is not None:  # else the customer had no mail that says how to pay
            mail.queue(method.expired_mail, order, f"order:{order.pk}", {}, now=now)
    return cancelled


def expire_attempt(attempt: CheckoutAttempt, *, now: datetime) -> None:
    """Record that a session has expired at Stripe, and cancel its order when the attempt's time is over.

    Part of the caller's transaction. When the page was closed before `expires_at`, the code that closed it
    decides whether to cancel the order.
    """
    require_transaction()
    order = Order.objects.lock(attempt.order_id)
    mark_expired(attempt, actor=history.STRIPE, now=now)
    if attempt.expires_at <= now:
        cancel_unpaid(order, now=now)


def cancel_unpaid(order: Order, *, now: datetime) -> bool:
    """Cancel a locked order unless it was paid or may still be paid; return whether this call did."""
    if order.status != OrderStatus.PENDING:
        return False
    if order.attempts.exclude(status=CheckoutAttempt.Status.EXPIRED).exists() or order.payments.exists():
        return False
    return orders.cancel_order(order, reason=Order.CancelReason.EXPIRED, actor=history.SYSTEM, now=now)


def mark_expired(attempt: CheckoutAttempt, refusal: str = "", *, actor: str, now: datetime) -> None:
    """Expire an attempt that is unpaid, as part of the caller's transaction and under the order's lock."""
    fields = {"last_error": refusal[:300]} if refusal else {}
    if not _if_payable(attempt).update(status=CheckoutAttempt.Status.EXPIRED, **fields):
        return
    kinds = OrderEvent.Kind
    history.record(
        attempt.order_id,
        kinds.VOUCHER_EXPIRED if attempt.voucher_expires_at else kinds.PAGE_EXPIRED,
        actor=actor,
        now=now,
        fact=f"attempt:{attempt.pk}",
        attempt=attempt.pk,
        **({"message": refusal[:300]} if refusal else {}),
    )


def _if_payable(attempt: CheckoutAttempt) -> QuerySet[CheckoutAttempt]:
    """Return a queryset of this attempt, empty unless it may still be paid; for conditional updates."""
    return CheckoutAttempt.objects.payable().filter(pk=attempt.pk)
