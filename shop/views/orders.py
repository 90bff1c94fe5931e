"""The customer's order page, reached by a secret link."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from django.conf import settings
from django.db.models import Prefetch, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from ledger.models import CheckoutAttempt, Order, OrderEvent, Refund, Shipment, ShipmentLine
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, confirmation, history
from ledger.sales.checkout import PaymentUnavailable
from ledger.sales.delivery import expected_arrival
from ledger.sales.refund_failure import unsettled_money
from ledger.sales.refund_plan import RefundRefused
from ledger.sales.tracking import tracking_urls
from ledger.stripe.methods import method_named
from ledger.templatetags.ledger_money import reduced_rate, tax_rows
from shop.cart import CartFull, read_cart, write_cart
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import load_offers
from shop.templatetags.shop import format_time, long_day, method_page, short_day
from shop.views.checkout import redirect_to_payment
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

MAX_REFRESHES = 40  # of the thank-you page, every three seconds
REFRESHES_BEFORE_ASKING = 2  # then Stripe is asked, once
TOKEN_PATTERN = re.compile(r"[A-Za-z0-9_-]{20,64}")

VOUCHER_STATUSES = (OrderStatus.PENDING, OrderStatus.CANCELLED)  # of orders that may have a voucher
PARCEL_STATUSES = (OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED)  # of orders that have parcels
Kind = OrderEvent.Kind
TIMELINE_KINDS = (Kind.PLACED, Kind.PAID, Kind.SHIPPED, Kind.CANCELLED)  # the events in the timeline


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the timeline: its name, when it happened or what is next, its state."""

    name: str
    note: str
    state: Literal["done", "now", "open"]


def load_order(token: str) -> Order:
    """Return the order of a secret token with everything that its page shows, with at most seven queries."""
    if not TOKEN_PATTERN.fullmatch(token):
        raise Http404
    order = Order.objects.filter(token=token).first()
    if order is None:
        raise Http404
    shown: list[str | Prefetch[Any, Any, Any]] = [
        "lines",
        "payments",
        Prefetch("refunds", Refund.objects.select_related("payment").order_by("id")),
        Prefetch("events", OrderEvent.objects.filter(kind__in=TIMELINE_KINDS)),
    ]
    if order.status in VOUCHER_STATUSES:
        shown.append(Prefetch("attempts", CheckoutAttempt.objects.order_by("-id")))
    if order.status in PARCEL_STATUSES:
        parts = ShipmentLine.objects.select_related("order_line")
        shown += ["shipments", Prefetch("shipments__lines", parts)]
    prefetch_related_objects([order], *shown)
    return order


@require_safe
def order_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show the order's timeline, its lines, and what the customer can do. A failed refund adds queries."""
    order = load_order(token)
    voucher = open_voucher(order)
    confirming = is_confirming(order)
    pending = order.status == OrderStatus.PENDING
    refunds = [refund for refund in order.refunds.all() if refund.status not in Refund.FAILED_STATUSES]
    return render_page(
        request,
        "shop/order.html",
        {
            "order": order,
            "parcels": parcels_of(order),
            "steps": timeline(order, confirming=confirming, voucher=voucher),
            "payable": pending and not confirming and voucher is None,
            "cancellable": pending and not confirming,
            "confirming": confirming,
            "voucher": voucher,
            "overdue": is_overdue(voucher),
            "voucher_page": method_page(voucher.method) if voucher else "",
            "to_bank_account": any(
                method_named(payment.method).refunds_to_bank_account for payment in order.payments.all()
            ),
            "unavailable": request.GET.get("payment") == "unavailable",
            "not_cancelled": request.GET.get("cancel") == "unavailable",
            "taxes": tax_rows(order),
            "reduced_rate": reduced_rate(order, order.lines.all()),
            "refunds": refunds,
            "unsettled": unsettled_money(order) if len(refunds) < len(order.refunds.all()) else 0,
            "paid_back": refunds and all(one.status == Refund.Status.SUCCEEDED for one in refunds),
            "minutes": settings.CHECKOUT_MINUTES,
        },
        private=True,
    )


@require_safe
def order_thanks(request: HttpRequest, token: str) -> HttpResponse:
    """Thank a customer who returns from Stripe; the page refreshes until the payment event has arrived."""
    order = load_order(token)
    count = request.GET.get("n", "0")
    times = int(count) + 1 if count.isascii() and count.isdigit() and len(count) < 4 else 1
    waiting = order.status == OrderStatus.PENDING and open_voucher(order) is None
    # the event may be lost; the door has a place of its own for this page, which may wait for Stripe
    if waiting and times > REFRESHES_BEFORE_ASKING and confirmation.ask_once(order, now=timezone.now()):
        order = load_order(token)
    voucher = open_voucher(order)
    waiting = order.status == OrderStatus.PENDING and voucher is None
    return render_page(
        request,
        "shop/thanks.html",
        {
            "order": order,
            "waiting": waiting,
            "voucher": voucher if order.status == OrderStatus.PENDING else None,
            "voucher_page": method_page(voucher.method) if voucher else "",
            "overdue": is_overdue(voucher),
            "steps": timeline(order, confirming=waiting, voucher=voucher),
            "next_look": times if waiting and times <= MAX_REFRESHES else None,
            "arrival": expected_arrival(order) if order.paid_at else None,
        },
        private=True,
    )


@same_origin_only
@require_POST
def order_pay(request: HttpRequest, token: str) -> HttpResponse:
    """Try to pay again."""
    return redirect_to_payment(load_order(token))


@same_origin_only
@require_POST
def order_cancel(request: HttpRequest, token: str) -> HttpResponse:
    """Cancel a pending order; paid orders are cancelled by staff."""
    order = load_order(token)
    page = reverse("order", args=[order.token])
    if order.status != OrderStatus.PENDING:
        return SeeOther(page)
    reason = Order.CancelReason.CUSTOMER
    try:
        cancellation.cancel(order=order, reason=reason, actor=history.CUSTOMER, now=timezone.now())
    except (PaymentUnavailable, cancellation.CancelRefused, RefundRefused):
        return SeeOther(f"{page}?cancel=unavailable")
    return SeeOther(page)


@same_origin_only
@require_POST
def order_again(request: HttpRequest, token: str) -> HttpResponse:
    """Add the lines of an order that are still sold to the cart, at their current prices."""
    lines = load_order(token).lines.all()
    offers = load_offers((line.sku for line in lines), now=timezone.now())
    cart = read_cart(request)
    response = SeeOther(active_links()["cart"])
    for line in lines:
        offer = offers.get(line.sku)
        if offer is None or cart.get(line.sku):  # in the cart already, such as after a second click
            continue
        try:
            fuller = cart.add(line.sku, line.quantity, price=offer.price)
            write_cart(response, fuller)
        except CartFull:
            break
        cart = fuller
    return response


def parcels_of(order: Order) -> list[tuple[Shipment, str]]:
    """Return the parcels of an order with the carrier's page of each, if it is known."""
    if order.status not in PARCEL_STATUSES:
        return []
    parcels = list(order.shipments.all())
    pages = tracking_urls([(parcel.carrier, parcel.tracking_number) for parcel in parcels])
    return list(zip(parcels, pages, strict=True))


def open_voucher(order: Order) -> CheckoutAttempt | None:
    """Return the attempt with an open voucher, of a pending order or of one that was cancelled since."""
    latest = next(iter(order.attempts.all()), None) if order.status in VOUCHER_STATUSES else None
    if latest is None or latest.status != CheckoutAttempt.Status.WAITING:
        return None
    return latest if latest.voucher_expires_at else None


def is_overdue(voucher: CheckoutAttempt | None) -> bool:
    """Return whether a voucher's deadline has passed; Stripe may still report that it was paid in time."""
    return bool(voucher and voucher.voucher_expires_at and voucher.voucher_expires_at < timezone.now())


def is_confirming(order: Order) -> bool:
    """Return whether Stripe's page was completed and the event with payment or voucher has not arrived."""
    latest = next(iter(order.attempts.all()), None) if order.status == OrderStatus.PENDING else None
    if latest is None:
        return False
    done = (CheckoutAttempt.Status.WAITING, CheckoutAttempt.Status.COMPLETE)
    return latest.status in done and open_voucher(order) is None


def timeline(order: Order, *, confirming: bool, voucher: CheckoutAttempt | None) -> list[Step]:
    """Return the order's steps by its history: ordered, paid, shipped, delivered."""
    events = {Kind(event.kind): event for event in order.events.all()}  # of several parcels the last
    steps = [Step(_("Ordered"), _time(events.get(Kind.PLACED)), "done")]
    if Kind.PAID in events:
        steps.append(Step(_("Paid"), _time(events[Kind.PAID]), "done"))
    if order.status == OrderStatus.CANCELLED:
        return [*steps, Step(_("Cancelled"), _time(events.get(Kind.CANCELLED)), "now")]
    if Kind.PAID not in events:
        note = _("We are confirming your payment.") if confirming else _("We are waiting for your payment.")
        if voucher is not None and voucher.voucher_expires_at:
            text = {"part": "timeline", "voucher": voucher}
            note = render_to_string(method_page(voucher.method), text).strip()
        steps.append(Step(_("Payment"), note, "now"))
    if order.status == OrderStatus.SHIPPED and Kind.SHIPPED in events:
        parcel = events[Kind.SHIPPED]
        steps.append(Step(_("Shipped"), _time(parcel), "done"))
        steps.append(Step(_("Delivery"), _expected(_last_arrival(order)), "now"))
    elif order.status == OrderStatus.PARTIALLY_SHIPPED:
        steps.append(Step(_("Partly shipped"), _("The rest follows."), "now"))
        steps.append(Step(_("Delivery"), "", "open"))
    else:
        paid = order.status == OrderStatus.PAID
        steps.append(
            Step(_("Shipment"), _("We are packing your order.") if paid else "", "now" if paid else "open")
        )
        steps.append(Step(_("Delivery"), _expected(expected_arrival(order)) if paid else "", "open"))
    return steps


def _expected(day: date | None) -> str:
    """Return when a parcel is expected, as the timeline has it."""
    return _("expected around %(day)s") % {"day": short_day(day)} if day else ""


def _last_arrival(order: Order) -> date | None:
    """Return when the last of an order's parcels is expected; None for parcels of earlier versions."""
    return max((parcel.arrives_on for parcel in order.shipments.all() if parcel.arrives_on), default=None)


def _time(event: OrderEvent | None) -> str:
    """Return when an act happened: by the clock of Stripe where it captured the money, a past day alone."""
    if event is None:
        return ""
    if shipped_on := event.data.get("shipped_on"):
        return long_day(date.fromisoformat(shipped_on))
    captured_at = event.data.get("captured_at")
    return format_time(timezone.localtime(datetime.fromisoformat(captured_at) if captured_at else event.at))
