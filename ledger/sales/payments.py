"""Payments: captured money, recorded once per PaymentIntent.

Webhooks, the retrieved session and the charge report the same payment in any order and any number of times,
each with the details that it knows. The PaymentIntent's id is the unique key. The effects (order paid, mail,
refund of money that must not be kept) belong to the transaction that first writes the row.
"""

from collections.abc import Mapping
from datetime import datetime

from django.utils.translation import gettext as _

from kikaku.days import business_day
from kikaku.money import yen
from kikaku.transactions import require_transaction
from ledger.books.discrepancies import note_discrepancy, note_unknown_money, resolve_automatically
from ledger.models import CheckoutAttempt, Discrepancy, Order, OrderEvent, OutgoingMail, Payment
from ledger.models.orders import OrderStatus
from ledger.sales import history, mail, orders
from ledger.sales.delivery import expected_arrival
from ledger.sales.refund_requests import store_payment_refund
from ledger.stripe.captures import CapturedPayment

PAYMENT_FOUND = "支払いを確認しました"  # resolution of a missing payment that Stripe has named since


def find_attempt(metadata: Mapping[str, str]) -> CheckoutAttempt | None:
    """Return the attempt named by the metadata of a Stripe object; None when the object is not ours."""
    raw = metadata.get("attempt", "")
    if not raw.isascii() or not raw.isdigit() or len(raw) > 18:
        return None
    return CheckoutAttempt.objects.filter(pk=int(raw), order__number=metadata.get("order", "")).first()


def record_payment(
    captured: CapturedPayment, *, now: datetime, locked: Order | None = None
) -> Payment | None:
    """Record captured money inside the caller's transaction; return its payment.

    `locked` is an order that the caller has locked, most likely the payment's own, and not changed since.
    A pending order becomes paid when the amount is its total, or more: what was paid too much stays in 2130
    until staff refund or keep it, and becomes a discrepancy. With less the order stays as it is, and there is
    a discrepancy. Money for a cancelled order and a second payment are recorded and refunded. Returns None,
    with a discrepancy, for money that belongs to no order of ours or is not in yen.
    """
    require_transaction()
    attempt = find_attempt(captured.metadata)
    if attempt is None:
        payment = Payment.objects.filter(payment_intent=captured.payment_intent).first()
        if payment is None:
            _note_foreign(captured, "当店の注文に属さない入金", now=now)
        return payment
    order = (
        locked
        if locked is not None and locked.pk == attempt.order_id
        else Order.objects.lock(attempt.order_id)
    )
    if captured.currency != "jpy":
        _note_foreign(captured, f"注文 {order.number}（{yen(order.total)}）への外貨の入金", now=now)
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
        _add_details(payment, captured)
        return payment
    CheckoutAttempt.objects.filter(pk=attempt.pk).update(
        status=CheckoutAttempt.Status.COMPLETE, last_error=""
    )
    _apply_to_order(order, payment, now=now)
    return payment


def _note_foreign(captured: CapturedPayment, detail: str, *, now: datetime) -> None:
    """Record money that has no payment of ours, once for each charge.

    A report that does not name the charge records nothing: the charge's own event, the balance job and the
    close report it, too.
    """
    if captured.charge:
        note_unknown_money(
            captured.charge,
            amount=captured.amount,
            currency=captured.currency,
            day=business_day(captured.occurred_at),
            detail=detail,
            now=now,
        )


def _add_details(payment: Payment, captured: CapturedPayment) -> None:
    """Add what earlier reports did not know. The charge's time is exact; otherwise the earliest counts."""
    fields = {
        "charge": payment.charge or captured.charge or None,
        "method": payment.method or captured.method,
        "brand": payment.brand or captured.brand,
        "last4": payment.last4 or captured.last4,
        "captured_at": payment.captured_at,
    }
    if captured.is_from_charge or (not payment.method and captured.occurred_at < payment.captured_at):
        fields["captured_at"] = captured.occurred_at
    if any(getattr(payment, name) != value for name, value in fields.items()):
        Payment.objects.filter(pk=payment.pk).update(**fields)
        # an order is paid when its payment was captured, on the same business day
        Order.objects.filter(pk=payment.order_id, paid_at=payment.captured_at).update(
            paid_at=fields["captured_at"]
        )
        for name, value in fields.items():
            setattr(payment, name, value)


def _apply_to_order(order: Order, payment: Payment, *, now: datetime) -> None:
    """Mark the locked order paid, or refund or report a new payment that it cannot use."""
    difference = payment.amount - order.total
    if order.status == OrderStatus.PENDING and difference >= 0:
        if orders.advance(order, OrderStatus.PAID, paid_at=payment.captured_at):
            resolve_automatically(
                Discrepancy.Kind.PAYMENT_MISSING, [order.number], resolution=PAYMENT_FOUND, now=now
            )
            _record_event(OrderEvent.Kind.PAID, payment, now=now)
            values = {"payment": payment, "arrival": expected_arrival(order)}
            mail.queue(OutgoingMail.Kind.ORDER_CONFIRMATION, order, f"order:{order.pk}", values, now=now)
        if difference:
            detail = f"{yen(order.total)} に対し {yen(payment.amount)} の入金。差額は返金するか、雑収入へ振替"
            _note(Discrepancy.Kind.PAID_OTHER_AMOUNT, order, payment, difference, detail, now=now)
    elif order.status == OrderStatus.PENDING:
        _record_event(OrderEvent.Kind.PAID_OTHER_AMOUNT, payment, now=now)
        detail = f"{yen(order.total)} ではなく {yen(payment.amount)} の入金。注文は未払いのまま"
        _note(Discrepancy.Kind.PAID_OTHER_AMOUNT, order, payment, difference, detail, now=now)
    elif order.status == OrderStatus.CANCELLED:
        _record_event(OrderEvent.Kind.PAID_AFTER_CANCELLATION, payment, now=now)
        detail = "キャンセル後の入金。自動で返金"
        _note(Discrepancy.Kind.PAID_AFTER_CANCELLATION, order, payment, payment.amount, detail, now=now)
        store_payment_refund(payment, reason=_("paid after cancellation"), now=now)
    else:
        _record_event(OrderEvent.Kind.PAID_TWICE, payment, now=now)
        detail = "二重の入金。自動で返金"
        _note(Discrepancy.Kind.PAID_TWICE, order, payment, payment.amount, detail, now=now)
        store_payment_refund(payment, reason=_("paid twice"), now=now)


def note_missing_payment(order: Order, session_id: str, *, now: datetime) -> None:
    """Ask a person about an unpaid order, a page of which is complete at Stripe and names no payment.

    An order that was paid or cancelled needs no person: a second payment is found by its charge.
    """
    if order.status != OrderStatus.PENDING:
        return
    note_discrepancy(
        Discrepancy.Kind.PAYMENT_MISSING,
        order.number,
        day=business_day(now),
        now=now,
        amount=-order.total,
        detail=f"{session_id}：支払いページは完了、支払いが見当たりません",
    )


def _note(
    kind: Discrepancy.Kind, order: Order, payment: Payment, amount: int, detail: str, *, now: datetime
) -> None:
    """Record a discrepancy of a payment on the business day on which it was captured."""
    note_discrepancy(
        kind,
        payment.payment_intent,
        day=business_day(payment.captured_at),
        now=now,
        amount=amount,
        detail=f"{order.number}: {detail}",
    )


def _record_event(kind: OrderEvent.Kind, payment: Payment, *, now: datetime) -> None:
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
