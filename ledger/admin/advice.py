"""What a discrepancy asks staff to do now, by what has happened to its order since it was written."""

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from kikaku.admin.columns import link
from kikaku.money import yen
from ledger.models import Discrepancy, Order, Payment, Refund
from ledger.models.orders import OrderStatus
from ledger.sales.kept_money import keepable_money
from ledger.sales.order_end import has_money_for_goods
from ledger.sales.refund_failure import refund_named, unsettled_money

Kind = Discrepancy.Kind
REFUND_KINDS = (Kind.REFUND_FAILED, Kind.REFUND_REPLACED, Kind.REFUND_WITHDRAWN, Kind.WITHDRAWN_TO_DECIDE)
PAYMENT_KINDS = (Kind.PAID_TWICE, Kind.PAID_AFTER_CANCELLATION)


def advice(row: Discrepancy) -> str:
    """Return what is to be done, with a link to the page for it; "" for a kind of which we cannot know."""
    order = _order_of(row)
    if order is None:
        return ""
    if row.kind == Kind.MONEY_GONE:
        if order.status == OrderStatus.PARTIALLY_SHIPPED and not has_money_for_goods(order):
            return _link(order, "change", _("Cancel the rest, or ship it as a gift"))
        return _("Nothing is to be done any more.")
    if row.kind == Kind.PAYMENT_MISSING:
        if order.status == OrderStatus.PENDING:
            return _link(order, "change", _("Look for the payment at Stripe; without one, cancel the order"))
        return _("Nothing is to be done any more.")
    amount = unsettled_money(order)
    if amount:
        text = _("Refund %(amount)s again, which belong to the customer") % {"amount": yen(amount)}
        again = _link(order, "refund", text)
        if not keepable_money(order):
            return again
        return format_html("{}<br>{}", again, _link(order, "keep", _("Or keep it, if it stays with us")))
    in_progress = sum(
        refund.amount for refund in order.refunds.filter(status__in=Refund.IN_PROGRESS_STATUSES)
    )
    if in_progress:
        return _("Nothing is to be done: %(amount)s are on their way to the customer.") % {
            "amount": yen(in_progress)
        }
    return _("Nothing is to be done any more.")


def _order_of(row: Discrepancy) -> Order | None:
    if row.kind in (Kind.MONEY_GONE, Kind.PAYMENT_MISSING):
        return Order.objects.filter(number=row.object_id).first()
    if row.kind in PAYMENT_KINDS:
        payment = Payment.objects.filter(payment_intent=row.object_id).select_related("order").first()
        return payment.order if payment else None
    if row.kind in REFUND_KINDS:
        refund = refund_named(row.object_id)
        return refund.order if refund else None
    return None


def _link(order: Order, page: str, text: str) -> str:
    address = reverse(f"admin:ledger_order_{page}", args=[order.pk])
    return link(address, f"{order.number}: {text}")
