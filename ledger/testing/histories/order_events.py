"""Every act of a history left its event, and no event lacks its act."""

from collections import Counter
from collections.abc import Iterator

from ledger.models import CheckoutAttempt, Order, OrderEvent, OutgoingMail, Payment, Refund, Shipment
from ledger.models.orders import OrderStatus

Kind = OrderEvent.Kind
Fact = tuple[int, str, str]  # order, kind, fact

PAYMENTS = (Kind.PAID, Kind.PAID_TWICE, Kind.PAID_OTHER_AMOUNT, Kind.PAID_AFTER_CANCELLATION)
ENDS = {
    Refund.Status.SUCCEEDED: Kind.REFUND_SUCCEEDED,
    Refund.Status.FAILED: Kind.REFUND_FAILED,
    Refund.Status.CANCELED: Kind.REFUND_CANCELLED,
}
# what the rows tell exactly; the other kinds are acts that leave no trace of their own in them
EXACT = (
    *(Kind.PLACED, Kind.PAYMENT_STARTED, Kind.PAGE_EXPIRED, Kind.VOUCHER_ISSUED, Kind.VOUCHER_EXPIRED),
    *(Kind.PAID, Kind.SHIPPED, Kind.CANCELLED, Kind.REFUND_REQUESTED),
)


def complaints() -> Iterator[str]:
    """Yield what the history of orders lacks or has too much, measured by the rows of the acts."""
    found: set[Fact] = set(OrderEvent.objects.values_list("order_id", "kind", "fact"))
    expected = set(_expected())
    for order, kind, fact in sorted(expected - found):
        yield f"order {order} has no event {kind} {fact}"
    for order, kind, fact in sorted(found - expected):
        if kind in EXACT:
            yield f"order {order} has an event {kind} {fact}, and no such act"
    yield from _payments()
    yield from _reasons()
    yield from _mails()


def _expected() -> Iterator[Fact]:
    for order in Order.objects.all():
        yield order.pk, Kind.PLACED, ""
        if order.status == OrderStatus.CANCELLED:
            yield order.pk, Kind.CANCELLED, ""
    for payment in Payment.objects.select_related("order"):
        if payment.order.paid_at == payment.captured_at:
            yield payment.order_id, Kind.PAID, f"payment:{payment.payment_intent}"
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
    for refund in Refund.objects.all():
        yield refund.order_id, Kind.REFUND_REQUESTED, f"refund:{refund.pk}"
        if kind_of_end := ENDS.get(Refund.Status(refund.status)):
            yield refund.order_id, kind_of_end, f"refund:{refund.pk}"


def _payments() -> Iterator[str]:
    """Yield payments that were not told as exactly one kind of payment."""
    told = Counter(OrderEvent.objects.filter(kind__in=PAYMENTS).values_list("order_id", "fact"))
    rows = Counter(
        (order, f"payment:{intent}")
        for order, intent in Payment.objects.values_list("order_id", "payment_intent")
    )
    for (order, fact), count in ((told - rows) + (rows - told)).items():
        yield f"order {order}: {fact} has {told[order, fact]} events instead of {rows[order, fact]} ({count})"


def _reasons() -> Iterator[str]:
    reasons = dict(Order.objects.values_list("pk", "cancel_reason"))
    for event in OrderEvent.objects.filter(kind=Kind.CANCELLED):
        if event.data["reason"] != reasons[event.order_id]:
            reason = reasons[event.order_id]
            yield f"order {event.order_id} was cancelled: {reason}, its event says {event.data}"


def _mails() -> Iterator[str]:
    """Yield sent mails without an event."""
    told = Counter(OrderEvent.objects.filter(kind=Kind.MAIL_SENT).values_list("data__mail", flat=True))
    for pk in OutgoingMail.objects.filter(status=OutgoingMail.Status.SENT).values_list("pk", flat=True):
        if not told[pk]:
            yield f"mail {pk} was sent, and its order has no event of it"
