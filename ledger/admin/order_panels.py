"""What the page of an order shows below its fields: lines, money, parcels, entries, mails, and a plain timeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ledger.models import JournalEntry, JournalLine, Order, Refund, Shipment, ShipmentLine
from ledger.templatetags.ledger_money import yen


@dataclass(frozen=True)
class Panel:
    """A table with a heading."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def table(self) -> dict[str, Any]:
        """What unfold's table component reads."""
        return {"headers": self.headers, "rows": self.rows}


def moment(instant: datetime | None) -> str:
    """Write an instant in Japanese time."""
    return date_format(localtime(instant), "Y-m-d H:i") if instant else "–"


def link(model: str, pk: Any, text: str) -> str:
    """Link to another page of the ledger's admin."""
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
        reverse(f"admin:ledger_{model}_change", args=[pk]),
        text,
    )


def panels(order: Order) -> list[Panel]:
    """Read all that belongs to an order; the number of queries does not grow with it."""
    lines = list(order.lines.order_by("position"))
    attempts = list(order.attempts.order_by("pk"))
    payments = list(order.payments.order_by("captured_at"))
    refunds = list(order.refunds.order_by("pk").prefetch_related("lines"))
    parts = ShipmentLine.objects.select_related("order_line")
    shipments = list(order.shipments.order_by("pk").prefetch_related(Prefetch("lines", queryset=parts)))
    accounts = JournalLine.objects.select_related("account").order_by("position")
    entries = list(order.entries.order_by("pk").prefetch_related(Prefetch("lines", queryset=accounts)))
    mails = list(order.mails.order_by("pk").defer("text", "html"))
    found = [
        Panel(_("Timeline"), [_("time"), _("what happened"), _("by")], _timeline(order, shipments, refunds)),
        Panel(
            _("Lines"),
            [
                _("SKU"),
                _("title"),
                _("unit price"),
                _("quantity"),
                _("discount"),
                _("amount"),
                _("tax rate"),
                _("reserved"),
                _("shipped"),
                _("cancelled"),
                _("returned"),
            ],
            [
                [
                    line.sku,
                    line.title,
                    yen(line.unit_price),
                    line.quantity,
                    yen(line.discount),
                    yen(line.total),
                    f"{line.tax_rate}%",
                    line.reserved,
                    line.shipped,
                    line.cancelled,
                    line.returned,
                ]
                for line in lines
            ],
        ),
        Panel(
            _("Payments"),
            [_("captured at"), _("amount"), _("card"), _("PaymentIntent"), _("charge")],
            [
                [
                    moment(payment.captured_at),
                    yen(payment.amount),
                    f"{payment.brand} {payment.last4}".strip() or payment.method,
                    link("payment", payment.pk, payment.payment_intent),
                    payment.charge or "–",
                ]
                for payment in payments
            ],
        ),
        Panel(
            _("Refunds"),
            [_("requested at"), _("amount"), _("status"), _("reason"), _("refund at Stripe"), _("by")],
            [
                [
                    moment(refund.requested_at),
                    yen(refund.amount),
                    _refund_state(refund),
                    refund.reason,
                    link("refund", refund.pk, refund.stripe_id or f"#{refund.pk}"),
                    refund.actor,
                ]
                for refund in refunds
            ],
        ),
        Panel(
            _("Shipments"),
            [_("shipped at"), _("carrier"), _("tracking number"), _("content"), _("by")],
            [
                [
                    moment(shipment.shipped_at),
                    shipment.carrier,
                    shipment.tracking_number or "–",
                    _content(shipment),
                    shipment.actor,
                ]
                for shipment in shipments
            ],
        ),
        Panel(
            _("Payment pages"),
            [_("created at"), _("expires at"), _("status"), _("Checkout Session"), _("last error")],
            [
                [
                    moment(attempt.created_at),
                    moment(attempt.expires_at),
                    attempt.get_status_display(),
                    attempt.session_id or "–",
                    attempt.last_error or "–",
                ]
                for attempt in attempts
            ],
        ),
        Panel(
            _("Journal entries"),
            [_("business day"), _("description"), _("debit"), _("credit")],
            [
                [
                    str(entry.day),
                    link("journalentry", entry.pk, entry.description),
                    _side(entry, "debit"),
                    _side(entry, "credit"),
                ]
                for entry in entries
            ],
        ),
        Panel(
            _("Mails"),
            [_("created at"), _("subject"), _("status"), _("sent at")],
            [
                [
                    moment(mail.created_at),
                    link("outgoingmail", mail.pk, mail.subject),
                    mail.get_status_display(),
                    moment(mail.sent_at),
                ]
                for mail in mails
            ],
        ),
    ]
    return [panel for panel in found if panel.rows]


def _refund_state(refund: Refund) -> str:
    state = refund.get_status_display()
    return f"{state}: {refund.failure_reason}" if refund.failure_reason else state


def _content(shipment: Shipment) -> str:
    return "、".join(f"{part.order_line.title} × {part.quantity}" for part in shipment.lines.all())


def _side(entry: JournalEntry, side: str) -> str:
    return " / ".join(
        f"{line.account_id} {line.account.name_ja} {getattr(line, side):,}"
        for line in entry.lines.all()
        if getattr(line, side)
    )


def _timeline(order: Order, shipments: Sequence[Shipment], refunds: Sequence[Refund]) -> list[list[Any]]:
    """Tell in words what happened, oldest first."""
    told: list[tuple[datetime, str, str]] = [(order.placed_at, _("The order was placed."), "")]
    if order.paid_at:
        told.append((order.paid_at, _("The order was paid."), ""))
    for shipment in shipments:
        told.append(
            (
                shipment.shipped_at,
                _("A parcel left: %(content)s") % {"content": _content(shipment)},
                shipment.actor,
            )
        )
    for refund in refunds:
        told.append(
            (
                refund.requested_at,
                _("A refund of %(amount)s was requested; it is “%(state)s”.")
                % {"amount": yen(refund.amount), "state": refund.get_status_display()},
                refund.actor,
            )
        )
    if order.cancelled_at:
        told.append(
            (
                order.cancelled_at,
                _("The order was cancelled: %(reason)s") % {"reason": order.get_cancel_reason_display()},
                "",
            )
        )
    # Stripe knows whole seconds only: what happened within one keeps the order in which it was told here
    told.sort(key=lambda event: event[0].replace(microsecond=0))
    return [[moment(when), what, who] for when, what, who in told]
