"""Content of an order's page: a summary of lines and money, then tables of everything that belongs to it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from kikaku.admin.columns import format_local_time, link
from kikaku.money import yen
from ledger.admin.order_timeline import timeline
from ledger.models import (
    Carrier,
    CheckoutAttempt,
    JournalLine,
    KeptMoney,
    Order,
    OrderLine,
    Payment,
    Refund,
    Shipment,
    ShipmentLine,
)
from ledger.models.orders import OrderStatus
from ledger.sales.tracking import tracking_page
from ledger.templatetags.ledger_money import format_deadline

Owner = TypeVar("Owner")
Line = TypeVar("Line")


@dataclass(frozen=True)
class Panel:
    """Table with a heading."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    permission: str = ""  # to see it; "" for whoever sees the order

    @property
    def table(self) -> dict[str, Any]:
        """Return the table as unfold's component takes it."""
        return {"headers": self.headers, "rows": self.rows}


@dataclass(frozen=True)
class OrderRows:
    """What is read of an order once, for its summary and its tables."""

    order: Order
    lines: Sequence[OrderLine]
    attempts: Sequence[CheckoutAttempt]
    payments: Sequence[Payment]
    refunds: Sequence[Refund]
    kept: int  # JPY

    @classmethod
    def of(cls, order: Order, lines: Sequence[OrderLine]) -> "OrderRows":
        """Return the rows of an order and its `lines`; three queries, two without a payment."""
        sums = KeptMoney.objects.filter(order=order).order_by().values("order").annotate(sum=Sum("amount"))
        kept = Coalesce(Subquery(sums.values("sum")), 0)
        payments = list(order.payments.annotate(kept=kept).order_by("captured_at"))
        refunds = list(order.refunds.order_by("pk")) if payments else []
        return cls(
            order,
            lines,
            list(order.attempts.order_by("pk")),
            payments,
            refunds,
            vars(payments[0])["kept"] if payments else 0,
        )


@dataclass(frozen=True)
class Summary:
    """Top of an order's page: lines, amounts, money and voucher."""

    lines: Sequence[OrderLine]
    amounts: Sequence[tuple[str, str]]
    money: Sequence[tuple[str, str]]
    badge: str
    voucher_note: str  # empty without a voucher that may be paid

    @classmethod
    def of(cls, rows: OrderRows) -> "Summary":
        """Return the summary of an order, without a query."""
        order = rows.order
        amounts = [(_("goods"), yen(order.goods_total))]
        if order.discount:
            amounts.append((_("discount"), yen(-order.discount)))
        amounts += [(_("shipping fee"), yen(order.shipping_fee)), (_("total"), yen(order.total))]
        amounts += [
            (name, yen(tax))
            for name, tax in (
                (_("tax, standard rate"), order.tax_standard),
                (_("tax, reduced rate"), order.tax_reduced),
            )
            if tax
        ]
        return cls(
            rows.lines,
            amounts,
            payment_totals(rows.payments, rows.refunds, rows.kept),
            STATUS_COLOURS[order.status],
            voucher_note(order, rows.attempts),
        )

    @property
    def pieces_to_ship(self) -> int:
        """Return the number of pieces that are still to be shipped."""
        return sum(line.shippable for line in self.lines)


# unfold's colour of each status
STATUS_COLOURS: dict[str, str] = {
    OrderStatus.PENDING: "warning",
    OrderStatus.PAID: "info",
    OrderStatus.PARTIALLY_SHIPPED: "info",
    OrderStatus.SHIPPED: "success",
    OrderStatus.CANCELLED: "danger",
}


def voucher_note(order: Order, attempts: Iterable[CheckoutAttempt]) -> str:
    """Return until when an order's voucher can be paid; an empty text without one."""
    attempt = next((one for one in attempts if one.status == CheckoutAttempt.Status.WAITING), None)
    if attempt is None:
        return ""
    until = format_deadline(attempt.voucher_expires_at) if attempt.voucher_expires_at else "–"
    if order.status == OrderStatus.CANCELLED:
        text = _("The voucher can be paid until %(until)s all the same; the money would be sent back.")
    else:
        text = _("waiting at the counter until %(until)s")
    return text % {"until": until}


def kept_of(order: Order) -> int:
    """Return what was kept of an order's money (JPY)."""
    return order.kept_money.aggregate(sum=Sum("amount"))["sum"] or 0


def payment_totals(
    payments: Iterable[Payment], refunds: Collection[Refund], kept: int
) -> list[tuple[str, str]]:
    """Return what was paid, refunded, is on its way back, was kept and can be refunded, with labels."""
    captured = sum(payment.amount for payment in payments)
    refunded = sum(refund.amount for refund in refunds if refund.status == Refund.Status.SUCCEEDED)
    on_its_way = sum(refund.amount for refund in refunds if refund.status in Refund.IN_PROGRESS_STATUSES)
    return [
        (_("paid"), yen(captured)),
        (_("refunded"), yen(refunded)),
        *([(_("refund in progress"), yen(on_its_way))] if on_its_way else []),
        *([(_("moved to other income"), yen(kept))] if kept else []),
        (_("can still be refunded"), yen(captured - refunded - on_its_way - kept)),
    ]


def build_panels(rows: OrderRows, has_perm: Callable[[str], bool]) -> list[Panel]:
    """Return what belongs to an order, as far as a user may see it; four queries, three before a shipment."""
    order = rows.order
    titles = {line.pk: line.packing_title for line in rows.lines}
    # every parcel and every entry has a line
    carrier = Carrier.objects.filter(name=OuterRef("shipment__carrier")).values("tracking_url")[:1]
    parts = ShipmentLine.objects.filter(shipment__order=order).select_related("shipment")
    parts = parts.annotate(tracking_url=Subquery(carrier)).order_by("shipment", "pk")
    is_shipped = any(line.shipped for line in rows.lines)
    parcels = _by(lambda part: part.shipment, parts if is_shipped else ())
    booked = JournalLine.objects.filter(entry__order=order).select_related("entry", "account")
    entries = _by(lambda line: line.entry, booked.order_by("entry", "position"))
    mails = list(order.mails.order_by("pk").defer("text", "html"))
    title, acts = timeline(order, rows.lines)
    found = [
        Panel(
            _("Shipments"),
            [_("shipped at"), _("carrier"), _("tracking number"), _("content"), _("by")],
            [
                [
                    format_local_time(shipment.shipped_at),
                    shipment.carrier,
                    _tracking(shipment, content[0].tracking_url),
                    "、".join(f"{titles[part.order_line_id]} × {part.quantity}" for part in content),
                    shipment.actor,
                ]
                for shipment, content in parcels.items()
            ],
        ),
        Panel(
            _("Refunds"),
            [_("requested at"), _("amount"), _("status"), _("reason"), _("refund at Stripe"), _("by")],
            [
                [
                    format_local_time(refund.requested_at),
                    yen(refund.amount),
                    _refund_state(refund),
                    refund.reason,
                    _link("refund", refund.pk, refund.stripe_id or f"#{refund.pk}"),
                    refund.actor,
                ]
                for refund in rows.refunds
            ],
            "ledger.view_refund",
        ),
        Panel(title, [_("time"), _("what happened"), _("by")], acts),
        Panel(
            _("Mails"),
            [_("created at"), _("subject"), _("status"), _("sent at")],
            [
                [
                    format_local_time(mail.created_at),
                    _link("outgoingmail", mail.pk, mail.subject),
                    mail.get_status_display(),
                    format_local_time(mail.sent_at),
                ]
                for mail in mails
            ],
            "ledger.view_outgoingmail",
        ),
        Panel(
            _("Payments"),
            [_("captured at"), _("amount"), _("paid by"), _("PaymentIntent"), _("charge")],
            [
                [
                    format_local_time(payment.captured_at),
                    yen(payment.amount),
                    payment.means,
                    _link("payment", payment.pk, payment.payment_intent),
                    payment.charge or "–",
                ]
                for payment in rows.payments
            ],
            "ledger.view_payment",
        ),
        Panel(
            _("Journal entries"),
            [_("voucher number"), _("posting day"), _("description"), _("debit"), _("credit")],
            [
                [
                    _link("journalentry", entry.pk, entry.voucher),
                    str(entry.day),
                    entry.description,
                    _side(lines, "debit"),
                    _side(lines, "credit"),
                ]
                for entry, lines in entries.items()
            ],
            "ledger.view_journalentry",
        ),
        Panel(
            _("Payment pages"),
            [
                _("created at"),
                _("expires at"),
                _("status"),
                _("to be paid until"),
                _("Checkout Session"),
                _("last error"),
            ],
            [
                [
                    format_local_time(attempt.created_at),
                    format_local_time(attempt.expires_at),
                    attempt.get_status_display(),
                    format_local_time(attempt.voucher_expires_at),
                    attempt.session_id or "–",
                    attempt.last_error or "–",
                ]
                for attempt in rows.attempts
            ],
            "ledger.view_checkoutattempt",
        ),
    ]
    return [each for each in found if each.rows and (not each.permission or has_perm(each.permission))]


def _link(model: str, pk: Any, text: str) -> str:
    """Return a link to the page of a row in the ledger's admin."""
    return link(reverse(f"admin:ledger_{model}_change", args=[pk]), text)


def _refund_state(refund: Refund) -> str:
    state = refund.get_status_display()
    return f"{state}: {refund.failure_reason}" if refund.failure_reason else state


def _tracking(shipment: Shipment, address: str | None) -> str:
    """Return the tracking number with a link to the carrier's `address`, and one to correct it."""
    number: str = shipment.tracking_number or "–"
    if url := tracking_page(address, number):
        number = link(url, number, new_tab=True)
    correct = reverse("admin:ledger_shipment_correct", args=[shipment.pk])
    return format_html("{} {}", number, link(correct, _("Correct")))


def _by(owner: Callable[[Line], Owner], lines: Iterable[Line]) -> dict[Owner, list[Line]]:
    """Return lines by their owner, in order."""
    found: dict[Owner, list[Line]] = {}
    for line in lines:
        found.setdefault(owner(line), []).append(line)
    return found


def _side(lines: Iterable[JournalLine], side: str) -> str:
    return " / ".join(
        f"{line.account_id} {line.account.name_ja} {yen(getattr(line, side))}"
        for line in lines
        if getattr(line, side)
    )
