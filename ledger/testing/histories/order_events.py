"""Check after a history that every act on an order has its `OrderEvent`, and every event its act."""

from collections import Counter
from collections.abc import Iterator

from django.db.models import F

from ledger.models import (
    CheckoutAttempt,
    KeptMoney,
    Order,
    OrderEvent,
    OutgoingMail,
    Payment,
    Refund,
    Shipment,
)
from ledger.models.orders import OrderStatus

Kind = OrderEvent.Kind
Fact = tuple[int, str, str]  # order, kind, fact

PAYMENTS = (Kind.PAID, Kind.PAID_TWICE, Kind.PAID_OTHER_AMOUNT, Kind.PAID_AFTER_CANCELLATION)
OUTCOMES = {
    Refund.Status.SUCCEEDED: Kind.REFUND_SUCCEEDED,
    Refund.Status.FAILED: Kind.REFUND_FAILED,
    Refund.Status.CANCELED: Kind.REFUND_CANCELLED,
}
# the kinds that can be derived from other rows; the other kinds leave no row of their own
DERIVABLE_KINDS = (
    *(Kind.PLACED, Kind.PAYMENT_STARTED, Kind.PAGE_EXPIRED, Kind.VOUCHER_ISSUED, Kind.VOUCHER_EXPIRED),
    *(Kind.PAID, Kind.SHIPPED, Kind.CANCELLED, Kind.REFUND_REQUESTED),
    *(Kind.MONEY_KEPT, Kind.KEPT_TAKEN_BACK),
)


def violations() -> Iterator[str]:
    """Yield events that are missing or have no act, by the rows of orders, payments and refunds."""
    found: set[Fact] = set(OrderEvent.objects.values_list("order_id", "kind", "fact"))
    expected = set(_expected(found))
    for order, kind, fact in sorted(expected - found):
        yield f"order {order} has no event {kind} {fact}"
    for order, kind, fact in sorted(found - expected - set(_paid_after_expiry())):
        if kind in DERIVABLE_KINDS:
            yield f"order {order} has an event {kind} {fact}, and no such act"
    yield from _payments()
    yield from _reasons()
    yield from _mails()


def _paid_after_expiry() -> Iterator[Fact]:
    """Yield the possible expiries of attempts whose second page was paid when the first had expired."""
    for attempt in CheckoutAttempt.objects.filter(status=CheckoutAttempt.Status.COMPLETE):
        for kind in (Kind.PAGE_EXPIRED, Kind.VOUCHER_EXPIRED):
            yield attempt.order_id, kind, f"attempt:{attempt.pk}"


def _expected(found: set[Fact]) -> Iterator[Fact]:
    for order in Order.objects.all():
        yield order.pk, Kind.PLACED, ""
        if order.status == OrderStatus.CANCELLED:
            yield order.pk, Kind.CANCELLED, ""
    paying: dict[int, list[Fact]] = {}  # two pages may be paid in the same second: one of them made it paid
    for payment in Payment.objects.filter(captured_at=F("order__paid_at")):
        paid = (payment.order_id, Kind.PAID, f"payment:{payment.payment_intent}")
        paying.setdefault(payment.order_id, []).append(paid)
    for facts in paying.values():
        yield next((paid for paid in facts if paid in found), facts[0])
    for attempt in CheckoutAttempt.objects.all():
        fact = f"attempt:{attempt.pk}"
        yield attempt.order_id, Kind.PAYMENT_STARTED, fact
        if attempt.voucher_expires_at:
            yield attempt.order_id, Kind.VOUCHER_ISSUED, fact
        if attempt.status == CheckoutAttempt.Status.EXPIRED:
            kind = Kind.VOUCHER_EXPIRED if attempt.voucher_expires_at else Kind.PAGE_EXPIRED
            yield attempt.order_id, kind, fact
    for shipment in Shipment.objects.all():
        yield shipment.order_id, Kind.SHIPPED, f"shipment:{shipment.pk}"
    for kept in KeptMoney.objects.all():
        kind = Kind.MONEY_KEPT if kept.amount > 0 else Kind.KEPT_TAKEN_BACK
        yield kept.order_id, kind, f"kept:{kept.pk}"
    for refund in Refund.objects.all():
        yield refund.order_id, Kind.REFUND_REQUESTED, f"refund:{refund.pk}"
        if outcome := OUTCOMES.get(Refund.Status(refund.status)):
            yield refund.order_id, outcome, f"refund:{refund.pk}"


def _payments() -> Iterator[str]:
    """Yield payments that do not have exactly one event."""
    events = Counter(OrderEvent.objects.filter(kind__in=PAYMENTS).values_list("order_id", "fact"))
    rows = Counter(
        (order, f"payment:{intent}")
        for order, intent in Payment.objects.values_list("order_id", "payment_intent")
    )
    for (order, fact), count in ((events - rows) + (rows - events)).items():
        yield f"order {order}: {events[order, fact]} events of {fact}, not {rows[order, fact]} ({count})"


def _reasons() -> Iterator[str]:
    reasons = dict(Order.objects.values_list("pk", "cancel_reason"))
    for event in OrderEvent.objects.filter(kind=Kind.CANCELLED):
        if event.data["reason"] != reasons[event.order_id]:
            reason = reasons[event.order_id]
            yield f"order {event.order_id} was cancelled: {reason}, its event says {event.data}"


def _mails() -> Iterator[str]:
    """Yield sent mails without an event."""
    events = Counter(OrderEvent.objects.filter(kind=Kind.MAIL_SENT).values_list("data__mail", flat=True))
    for pk in OutgoingMail.objects.filter(status=OutgoingMail.Status.SENT).values_list("pk", flat=True):
        if not events[pk]:
            yield f"mail {pk} was sent, and its order has no event of it"
