"""The timeline of an order: its history in words, oldest first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kikaku.admin.columns import format_local_time
from kikaku.money import yen
from ledger.models import Order, OrderEvent, OrderLine, OutgoingMail, Payment, Shipment
from ledger.sales import history

Kind = OrderEvent.Kind

ACTORS = {
    history.CUSTOMER: gettext_lazy("customer"),
    history.STRIPE: "Stripe",
    history.SYSTEM: gettext_lazy("automatic"),
}
EVENT_TEXTS: dict[str, Any] = {
    Kind.PLACED: gettext_lazy("The order was placed: %(amount)s."),
    Kind.PAYMENT_STARTED: gettext_lazy("A payment was started; its page closes at %(time)s."),
    Kind.PAYMENT_FAILED: gettext_lazy("A payment attempt failed."),
    Kind.PAGE_EXPIRED: gettext_lazy("The payment page was closed without a payment."),
    Kind.VOUCHER_ISSUED: gettext_lazy("A voucher was issued; it can be paid until %(time)s."),
    Kind.VOUCHER_EXPIRED: gettext_lazy("The voucher was not paid."),
    Kind.PAID: gettext_lazy("The order was paid: %(amount)s, %(method)s."),
    Kind.PAID_OTHER_AMOUNT: gettext_lazy(
        "%(amount)s were paid, not the total: the order is not marked paid."
    ),
    Kind.PAID_TWICE: gettext_lazy("Paid a second time: %(amount)s. The money is sent back."),
    Kind.PAID_AFTER_CANCELLATION: gettext_lazy(
        "Paid after the cancellation: %(amount)s. The money is sent back."
    ),
    Kind.SHIPPED: gettext_lazy("A parcel left: %(content)s"),
    Kind.PARCEL_CORRECTED: gettext_lazy("Carrier or tracking number of a parcel was corrected:"),
    Kind.CANCELLED: gettext_lazy("The order was cancelled: %(reason)s"),
    Kind.REST_CANCELLED: gettext_lazy("What was left was cancelled: %(content)s"),
    Kind.REFUND_REQUESTED: gettext_lazy("A refund of %(amount)s was requested."),
    Kind.REFUND_WAITING: gettext_lazy("The refund of %(amount)s waits for the customer's bank account."),
    Kind.REFUND_PENDING: gettext_lazy("The refund of %(amount)s is on its way."),
    Kind.REFUND_SUCCEEDED: gettext_lazy("The refund of %(amount)s succeeded."),
    Kind.REFUND_FAILED: gettext_lazy("The refund of %(amount)s failed."),
    Kind.REFUND_CANCELLED: gettext_lazy("The refund of %(amount)s was cancelled."),
    Kind.MONEY_KEPT: gettext_lazy("%(amount)s were moved to other income: they stay with us."),
    Kind.KEPT_TAKEN_BACK: gettext_lazy(
        "%(amount)s were moved back from other income: Stripe refunded them after all."
    ),
    Kind.MAIL_SENT: gettext_lazy("Mail sent: %(mail)s"),
    Kind.MAIL_FAILED: gettext_lazy("Mail given up: %(mail)s"),
    Kind.MAIL_DROPPED: gettext_lazy("Mail dropped, because it was no longer true: %(mail)s"),
    Kind.MAIL_WITHHELD: gettext_lazy("Mail not sent, because this address got too many today: %(mail)s"),
    Kind.MAIL_QUEUED_AGAIN: gettext_lazy("Mail queued again: %(mail)s"),
}
RECONSTRUCTED = "※"  # explained in the title
CLOCK_DIFFERENCE = timedelta(minutes=1)  # below it, Stripe's instant is not shown beside ours


def timeline(order: Order, lines: Sequence[OrderLine]) -> tuple[str, list[list[str]]]:
    """Return a title, and time, text and actor of each act on an order with these `lines`; one query."""
    titles = {str(line.position): line.packing_title for line in lines}
    events = list(order.events.all())
    rows = [
        [format_local_time(event.at), _text(event, titles), str(ACTORS.get(event.actor, event.actor))]
        for event in events
    ]
    if any(event.reconstructed for event in events):
        return _("Timeline (※ reconstructed from the order's records)"), rows
    return _("Timeline"), rows


def _text(event: OrderEvent, titles: Mapping[str, str]) -> str:
    data = event.data
    text = str(EVENT_TEXTS.get(event.kind, "")) % _values(data, titles)
    if event.kind in (Kind.SHIPPED, Kind.PARCEL_CORRECTED):
        text = " ".join(part for part in (text, data.get("carrier"), data.get("tracking_number")) if part)
    if data.get("gift"):
        gift = dict(Shipment.Gift.choices).get(data["gift"], data["gift"])
        text = _("%(text)s As a gift: %(reason)s") % {"text": text, "reason": gift}
    if data.get("shipped_on"):
        text = _("%(text)s It left on %(day)s.") % {"text": text, "day": data["shipped_on"]}
    if data.get("cancelled"):
        text = _("%(text)s Not to be shipped: %(content)s.") % {
            "text": text,
            "content": _pieces(data["cancelled"], titles),
        }
    if data.get("returned"):
        text = _("%(text)s Returned or reduced after shipment: %(content)s.") % {
            "text": text,
            "content": _pieces(data["returned"], titles),
        }
    if event.kind in (Kind.REFUND_REQUESTED, Kind.MONEY_KEPT) and data.get("reason"):
        text = _("%(text)s Reason: %(reason)s") % {"text": text, "reason": data["reason"]}
    if data.get("message"):
        text = _("%(text)s Stripe: %(message)s") % {"text": text, "message": data["message"]}
    captured_at = _instant(data.get("captured_at"))
    if captured_at and abs(captured_at - event.at) >= CLOCK_DIFFERENCE:
        text = _("%(text)s Captured at Stripe: %(time)s") % {
            "text": text,
            "time": format_local_time(captured_at),
        }
    return f"{text} {RECONSTRUCTED}" if event.reconstructed else text


def _values(data: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, str]:
    """Return what the texts name, as staff read it; what the data lacks is a dash."""
    values: defaultdict[str, str] = defaultdict(lambda: "–")
    for name, value in data.items():
        if name in ("amount", "total"):
            values["amount"] = yen(value)
        elif name in ("expires_at", "pay_until"):
            values["time"] = format_local_time(_instant(value))
        elif name == "pieces":
            values["content"] = _pieces(value, titles)
        elif name == "reason":
            values["reason"] = dict(Order.CancelReason.choices).get(value, value)
        elif name == "method" and value:
            values["method"] = dict(Payment.Method.choices).get(value, value)
        elif name == "mail_kind":
            values["mail"] = dict(OutgoingMail.Kind.choices).get(value, value)
    return values


def _pieces(counts: Mapping[str, int], titles: Mapping[str, str]) -> str:
    """Return the pieces of lines by their position, as staff read them."""
    return "、".join(f"{titles.get(at, '–')} × {count}" for at, count in counts.items())


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
