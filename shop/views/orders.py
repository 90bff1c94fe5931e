"""The customer's order page, reached by a secret link."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db.models import Prefetch, prefetch_related_objects
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from ledger.models import CheckoutAttempt, Order, OrderEvent, Refund, ShipmentLine
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, history
from ledger.sales.checkout import PaymentUnavailable
from ledger.stripe.methods import method_named
from shop.cart import CartFull, read_cart, write_cart
from shop.delivery import expected_delivery
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import load_offers
from shop.templatetags.shop import method_page, moment, short_day
from shop.views.checkout import to_payment
from shop.views.origin import own_pages_only
from shop.views.redirects import SeeOther

REFRESHES = 40  # times the thank-you page asks again, every three seconds
TOKEN = re.compile(r"[A-Za-z0-9_-]{20,64}")

UNPAID = (OrderStatus.PENDING, OrderStatus.CANCELLED)  # a voucher may be out
SHIPPED = (OrderStatus.PARTIALLY_SHIPPED, OrderStatus.SHIPPED)  # there are parcels
Act = OrderEvent.Kind
STEPS = (Act.PLACED, Act.PAID, Act.SHIPPED, Act.CANCELLED)  # what the timeline is made of


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the timeline: what, when or what next, and whether it is behind us."""

    name: str
    note: str
    state: Literal["done", "now", "open"]


def load(token: str) -> Order:
    """Return the order behind a secret link with everything its page shows (seven queries at most)."""
    if not TOKEN.fullmatch(token):
        raise Http404
    order = Order.objects.filter(token=token).first()
    if order is None:
        raise Http404
    shown: list[str | Prefetch[Any, Any, Any]] = [
        "lines",
        "payments",
        Prefetch("refunds", Refund.objects.select_related("payment").order_by("id")),
        Prefetch("events", OrderEvent.objects.filter(kind__in=STEPS)),
    ]
    if order.status in UNPAID:
        shown.append(Prefetch("attempts", CheckoutAttempt.objects.order_by("-id")))
    if order.status in SHIPPED:
        parts = ShipmentLine.objects.select_related("order_line")
        shown += ["shipments", Prefetch("shipments__lines", parts)]
    prefetch_related_objects([order], *shown)
    return order


@require_safe
def order_page(request: HttpRequest, token: str) -> HttpResponse:
    """Show where the order is, what it holds, and what can be done."""
    order = load(token)
    voucher = voucher_of(order)
    confirming = is_confirming(order)
    pending = order.status == OrderStatus.PENDING
    refunds = [refund for refund in order.refunds.all() if refund.status not in Refund.FAILED_STATUSES]
    return render_page(
        request,
        "shop/order.html",
        {
            "order": order,
            "parcels": order.shipments.all() if order.status in SHIPPED else [],
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
            "taxes": taxes(order),
            "has_reduced_rate": any(line.tax_rate == 8 for line in order.lines.all()),
            "refunds": refunds,
            "paid_back": refunds and all(one.status == Refund.Status.SUCCEEDED for one in refunds),
            "minutes": settings.CHECKOUT_MINUTES,
        },
        private=True,
    )


@require_safe
def order_thanks(request: HttpRequest, token: str) -> HttpResponse:
    """Thank the customer who comes back from Stripe; until its event is here, say so and look again."""
    order = load(token)
    count = request.GET.get("n", "0")
    times = int(count) + 1 if count.isascii() and count.isdigit() and len(count) < 4 else 1
    voucher = voucher_of(order)
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
            "next_look": times if waiting and times <= REFRESHES else None,
            "arrival": arrival(order) if order.paid_at else None,
        },
        private=True,
    )


@own_pages_only
@require_POST
def order_pay(request: HttpRequest, token: str) -> HttpResponse:
    """Try to pay again."""
    return to_payment(load(token))


@own_pages_only
@require_POST
def order_cancel(request: HttpRequest, token: str) -> HttpResponse:
    """Cancel an order that is not paid; staff cancel what is."""
    order = load(token)
    page = reverse("order", args=[order.token])
    if order.status != OrderStatus.PENDING:
        return SeeOther(page)
    reason = Order.CancelReason.CUSTOMER
    try:
        cancellation.cancel(order=order, reason=reason, actor=history.CUSTOMER, now=timezone.now())
    except (PaymentUnavailable, cancellation.CancelRefused):
        return SeeOther(f"{page}?cancel=unavailable")
    return SeeOther(page)


@own_pages_only
@require_POST
def order_again(request: HttpRequest, token: str) -> HttpResponse:
    """Put what is still sold of an order into the cart, beside what is in it, at the price of today."""
    lines = load(token).lines.all()
    offers = load_offers(line.sku for line in lines)
    cart = read_cart(request)
    response = SeeOther(active_links()["cart"])
    for line in lines:
        offer = offers.get(line.sku)
        if offer is None or cart.get(line.sku):  # in the cart already: pressed twice, or chosen anew
            continue
        try:
            fuller = cart.add(line.sku, line.quantity, price=offer.price)
            write_cart(response, fuller)
        except CartFull:
            break
        cart = fuller
    return response


def voucher_of(order: Order) -> CheckoutAttempt | None:
    """Return the attempt whose voucher is out, of a pending order or of one that was cancelled meanwhile."""
    latest = next(iter(order.attempts.all()), None) if order.status in UNPAID else None
    if latest is None or latest.status != CheckoutAttempt.Status.WAITING:
        return None
    return latest if latest.voucher_expires_at else None


def is_overdue(voucher: CheckoutAttempt | None) -> bool:
    """Say whether a voucher's deadline has passed; Stripe may still tell that it was paid in time."""
    return bool(voucher and voucher.voucher_expires_at and voucher.voucher_expires_at < timezone.now())


def is_confirming(order: Order) -> bool:
    """Say whether Stripe's page was completed and the event with the payment or the voucher is still to come."""
    latest = next(iter(order.attempts.all()), None) if order.status == OrderStatus.PENDING else None
    if latest is None:
        return False
    done = (CheckoutAttempt.Status.WAITING, CheckoutAttempt.Status.COMPLETE)
    return latest.status in done and voucher_of(order) is None


def arrival(order: Order) -> date:
    """Work out the day on which the parcel should arrive, from the payment."""
    return expected_delivery(order.paid_at or order.placed_at).arrival


def timeline(order: Order, *, confirming: bool, voucher: CheckoutAttempt | None) -> list[Step]:
    """Return the order's steps by its history: ordered, paid, shipped, delivered."""
    acts = {Act(event.kind): event for event in order.events.all()}  # the last parcel of several
    steps = [Step(_("Ordered"), _time(acts.get(Act.PLACED)), "done")]
    if Act.PAID in acts:
        steps.append(Step(_("Paid"), _time(acts[Act.PAID]), "done"))
    if order.status == OrderStatus.CANCELLED:
        return [*steps, Step(_("Cancelled"), _time(acts.get(Act.CANCELLED)), "now")]
    if Act.PAID not in acts:
        note = _("We are confirming your payment.") if confirming else _("We are waiting for your payment.")
        if voucher is not None and voucher.voucher_expires_at:
            text = {"part": "timeline", "voucher": voucher}
            note = render_to_string(method_page(voucher.method), text).strip()
        steps.append(Step(_("Payment"), note, "now"))
    day = short_day(arrival(order))
    if order.status == OrderStatus.SHIPPED and Act.SHIPPED in acts:
        parcel = acts[Act.SHIPPED]
        steps.append(Step(_("Shipped"), _time(parcel), "done"))
        day = short_day(timezone.localdate(parcel.at) + timedelta(days=settings.DELIVERY_DAYS))
        steps.append(Step(_("Delivery"), _("expected around %(day)s") % {"day": day}, "now"))
    elif order.status == OrderStatus.PARTIALLY_SHIPPED:
        steps.append(Step(_("Partly shipped"), _("The rest follows."), "now"))
        steps.append(Step(_("Delivery"), "", "open"))
    else:
        paid = order.status == OrderStatus.PAID
        steps.append(
            Step(_("Shipment"), _("We are packing your order.") if paid else "", "now" if paid else "open")
        )
        steps.append(Step(_("Delivery"), _("expected around %(day)s") % {"day": day} if paid else "", "open"))
    return steps


def _time(event: OrderEvent | None) -> str:
    """Return when an act happened, by the clock of Stripe where it captured the money."""
    if event is None:
        return ""
    captured_at = event.data.get("captured_at")
    return moment(timezone.localtime(datetime.fromisoformat(captured_at) if captured_at else event.at))


def taxes(order: Order) -> list[tuple[int, int, int]]:
    """Return rate, gross and contained tax of each rate; shipping belongs to 10 %."""
    gross = {10: order.shipping_fee, 8: 0}
    for line in order.lines.all():
        gross[line.tax_rate] += line.total
    return [(rate, gross[rate], tax) for rate, tax in ((10, order.tax_10), (8, order.tax_8)) if gross[rate]]
