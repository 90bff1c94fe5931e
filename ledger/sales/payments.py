"""Payments: money that Stripe captured, written down once, whatever told us first.

Webhooks, the retrieved session and the charge tell of the same payment in any order and any number of times.
Each brings what it knows; the PaymentIntent's id is the unique key, and the effects (order paid, mail, refund of
what must not be kept) happen in the transaction that first writes the row.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from kikaku.days import business_day
from ledger.books.discrepancies import note_discrepancy
from ledger.models import CheckoutAttempt, Discrepancy, Order, OrderEvent, OutgoingMail, Payment
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail, orders, refunds
from ledger.stripe.timestamps import from_timestamp

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Captured:
    """What one of Stripe's objects says about captured money."""

    payment_intent: str
    amount: int  # in the smallest unit of `currency`; JPY has no decimals
    currency: str
    metadata: dict[str, str]  # order number and attempt, as we sent them
    occurred_at: datetime  # of the charge when known, else of the event
    charge: str = ""
    method: str = ""
    brand: str = ""
    last4: str = ""
    from_charge: bool = False  # the charge's own time is exact, the others are near


def text_map(value: Any) -> dict[str, str]:
    """Read Stripe's metadata; null is empty."""
    return {str(key): str(item) for key, item in dict(value or {}).items()}


def of_charge(charge: dict[str, Any]) -> Captured | None:
    """Read a charge (an event's object or a retrieved one); None when no money was captured by it."""
    if not (charge["paid"] and charge["captured"] and charge["status"] == "succeeded"):
        return None
    details = charge.get("payment_method_details") or {}
    card = details.get("card") or {}
    return Captured(
        payment_intent=charge["payment_intent"] or "",
        amount=charge["amount_captured"],
        currency=charge["currency"],
        metadata=text_map(charge["metadata"]),
        occurred_at=from_timestamp(charge["created"]),
        charge=charge["id"],
        method=details.get("type") or "",
        brand=card.get("brand") or "",
        last4=card.get("last4") or "",
        from_charge=True,
    )


def of_intent(intent: dict[str, Any], *, occurred_at: datetime) -> Captured:
    """Read a succeeded PaymentIntent; with `latest_charge` expanded the charge's details come along."""
    charge = intent["latest_charge"]
    if charge and not isinstance(charge, str):
        expanded = of_charge(charge)
        if expanded is not None:
            return expanded
    return Captured(
        payment_intent=intent["id"],
        amount=intent["amount_received"],
        currency=intent["currency"],
        metadata=text_map(intent["metadata"]),
        occurred_at=occurred_at,
        charge=charge if isinstance(charge, str) else "",
    )


def of_session(session: dict[str, Any], *, occurred_at: datetime) -> Captured | None:
    """Read a completed Checkout Session; None when it is not paid (yet)."""
    intent = session["payment_intent"]
    if session["payment_status"] != "paid" or not intent:
        return None
    if not isinstance(intent, str):
        return of_intent(intent, occurred_at=occurred_at)
    return Captured(
        payment_intent=intent,
        amount=session["amount_total"],
        currency=session["currency"],
        metadata=text_map(session["metadata"]),
        occurred_at=occurred_at,
    )


def attempt_of(metadata: dict[str, str]) -> CheckoutAttempt | None:
    """Find the attempt that our metadata name; None for an object that is not ours."""
    raw = metadata.get("attempt", "")
    if not raw.isascii() or not raw.isdigit() or len(raw) > 18:
        return None
    return CheckoutAttempt.objects.filter(pk=int(raw), order__number=metadata.get("order", "")).first()


def record(captured: Captured, *, now: datetime) -> Payment | None:
    """Write down captured money, inside the caller's transaction.

    A pending order whose total it matches is paid. What does not match becomes a discrepancy and the order stays
    as it was; money for a cancelled order, and a second payment, are written down and sent back. Returns None
    for money that is not for one of our orders or not in yen (a discrepancy too).
    """
    attempt = attempt_of(captured.metadata)
    if attempt is None:
        known = Payment.objects.filter(payment_intent=captured.payment_intent).first()
        if known is None:
            note_discrepancy(
                Discrepancy.Kind.MISSING_IN_BOOKS,
                captured.charge or captured.payment_intent,
                day=business_day(captured.occurred_at),
                now=now,
                amount=captured.amount if captured.currency == "jpy" else 0,
                detail=f"{captured.payment_intent}: paid at Stripe, for none of our orders",
            )
        return known
    order = Order.objects.select_for_update().get(pk=attempt.order_id)
    if captured.currency != "jpy":
        note_discrepancy(
            Discrepancy.Kind.AMOUNT,
            captured.payment_intent,
            day=business_day(captured.occurred_at),
            now=now,
            detail=f"{order.number}: {captured.amount} {captured.currency} instead of ¥{order.total}",
        )
        return None
    payment, created = Payment.objects.get_or_create(
        payment_intent=captured.payment_intent,
        defaults={
            "order": order,
            "attempt": attempt,
            "charge": captured.charge or None,
            "amount": captured.amount,
            "method": captured.method or attempt.method,  # of the voucher
            "brand": captured.brand,
            "last4": captured.last4,
            "captured_at": captured.occurred_at,
        },
    )
    if not created:
        _complete(payment, captured)
        return payment
    CheckoutAttempt.objects.filter(pk=attempt.pk).update(
        status=CheckoutAttempt.Status.COMPLETE, last_error=""
    )
    _settle(order, payment, now=now)
    return payment


def _complete(payment: Payment, captured: Captured) -> None:
    """Fill in what an earlier messenger did not know; the charge's own time wins, else the earliest."""
    fields = {
        "charge": payment.charge or captured.charge or None,
        "method": payment.method or captured.method,
        "brand": payment.brand or captured.brand,
        "last4": payment.last4 or captured.last4,
        "captured_at": payment.captured_at,
    }
    if captured.from_charge or (not payment.method and captured.occurred_at < payment.captured_at):
        fields["captured_at"] = captured.occurred_at
    if any(getattr(payment, name) != value for name, value in fields.items()):
        Payment.objects.filter(pk=payment.pk).update(**fields)
        # an order is paid when its payment was captured, on the same business day
        Order.objects.filter(pk=payment.order_id, paid_at=payment.captured_at).update(
            paid_at=fields["captured_at"]
        )
        for name, value in fields.items():
            setattr(payment, name, value)


def _settle(order: Order, payment: Payment, *, now: datetime) -> None:
    """Decide what the new payment means for its order."""
    kinds = OrderEvent.Kind
    if order.status == OrderStatus.CANCELLED:
        _record(kinds.PAID_AFTER_CANCELLATION, payment, now=now)
        note_discrepancy(
            Discrepancy.Kind.PAID_AFTER_CANCELLATION,
            payment.payment_intent,
            day=business_day(payment.captured_at),
            now=now,
            amount=payment.amount,
            detail=f"{order.number}: paid after it was cancelled; the money is sent back",
        )
        refunds.give_back(payment, reason=_("paid after cancellation"), now=now)
    elif order.status != OrderStatus.PENDING:
        _record(kinds.PAID_TWICE, payment, now=now)
        note_discrepancy(
            Discrepancy.Kind.PAID_TWICE,
            payment.payment_intent,
            day=business_day(payment.captured_at),
            now=now,
            amount=payment.amount,
            detail=f"{order.number}: paid a second time; the money is sent back",
        )
        refunds.give_back(payment, reason=_("paid twice"), now=now)
    elif payment.amount != order.total:
        _record(kinds.PAID_OTHER_AMOUNT, payment, now=now)
        note_discrepancy(
            Discrepancy.Kind.AMOUNT,
            payment.payment_intent,
            day=business_day(payment.captured_at),
            now=now,
            amount=payment.amount - order.total,
            detail=f"{order.number}: ¥{payment.amount} paid instead of ¥{order.total}; the order is not marked paid",
        )
    elif orders.advance(order, OrderStatus.PAID, paid_at=payment.captured_at):
        _record(kinds.PAID, payment, now=now)
        mail.queue(OutgoingMail.Kind.ORDER_CONFIRMATION, order, f"order:{order.pk}", {}, now=now)


def _record(kind: OrderEvent.Kind, payment: Payment, *, now: datetime) -> None:
    """Record in the order's history what a payment meant for it."""
    history.record(
        payment.order_id,
        kind,
        actor=history.CUSTOMER,
        now=now,
        fact=f"payment:{payment.payment_intent}",
        payment_intent=payment.payment_intent,
        amount=payment.amount,
        method=payment.method,
        captured_at=payment.captured_at,
    )
