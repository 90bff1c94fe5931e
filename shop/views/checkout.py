"""Checkout in three steps: the address, the final confirmation that the law asks for, Stripe's page."""

import re
import secrets
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from ledger.models import Order
from ledger.sales import orders
from ledger.sales.checkout import NotPayable, PaymentUnavailable, start_payment
from ledger.stripe.methods import METHODS, offered_methods
from shop.address import AddressForm
from shop.cart import Cart, read_cart, write_cart
from shop.delivery import expected_delivery
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import Quote, load_quote
from shop.views.origin import own_pages_only
from shop.views.redirects import SeeOther

TYPED = "checkout_typed"  # session: what was typed, as it was typed
ADDRESS = "checkout_address"  # session: the same, checked and in one form
PLACED = "checkout_placed"  # session: token of the order that was placed last
NONCE = re.compile(r"[A-Za-z0-9_-]{20,64}")


@own_pages_only
@require_http_methods(["GET", "HEAD", "POST"])
def address(request: HttpRequest) -> HttpResponse:
    """Ask where the parcel goes; what was typed is kept in the session from the first post on."""
    cart = read_cart(request)
    if not cart:
        return without_cart(request)
    if request.method == "POST":
        form = AddressForm(request.POST)
        request.session[TYPED] = {name: request.POST.get(name, "")[:2000] for name in form.fields}
        if form.is_valid():
            request.session[ADDRESS] = form.cleaned_data
            return SeeOther(active_links()["checkout_confirm"])
        request.session.pop(ADDRESS, None)
        return show_address(request, form, cart, status=422)
    return show_address(request, AddressForm(initial=request.session.get(TYPED)), cart)


def show_address(request: HttpRequest, form: AddressForm, cart: Cart, *, status: int = 200) -> HttpResponse:
    """Render the form beside what it is about."""
    quote = load_quote(cart)
    return render_page(
        request, "shop/checkout.html", {"form": form, "quote": quote}, status=status, private=True
    )


@require_safe
def confirm(request: HttpRequest) -> HttpResponse:
    """Show everything that 特商法 §12-6 asks for in one look, with the button that orders."""
    cart = read_cart(request)
    if not cart:
        return without_cart(request)
    if ADDRESS not in request.session:
        return SeeOther(active_links()["checkout"])
    return show_confirmation(request, load_quote(cart))


def without_cart(request: HttpRequest) -> HttpResponse:
    """Lead who comes back from Stripe's page to the order that waits for the payment, anybody else to the cart.

    Only while that page is open: the browser may be shared, and an order is private.
    """
    token = request.session.get(PLACED)
    since = timezone.now() - timedelta(minutes=settings.CHECKOUT_MINUTES)
    if token and Order.objects.pending().filter(token=token, placed_at__gt=since).exists():
        return SeeOther(reverse("order", args=[token]))
    return SeeOther(active_links()["cart"])


def show_confirmation(
    request: HttpRequest, quote: Quote, *, changed: bool = False, message: str = "", status: int = 200
) -> HttpResponse:
    """Render the final confirmation with a fresh nonce and the fingerprint of exactly this quote."""
    offered = offered_methods(quote.totals.total)
    return render_page(
        request,
        "shop/confirm.html",
        {
            "quote": quote,
            "address": request.session[ADDRESS],
            "delivery": expected_delivery(timezone.now()),
            "nonce": secrets.token_urlsafe(24),
            "changed": changed,
            "message": message,
            "minutes": settings.CHECKOUT_MINUTES,
            "offered": offered,
            "not_offered": [method for method in METHODS.values() if method not in offered],
        },
        status=status,
        private=True,
    )


@own_pages_only
@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """Place the order that was shown, once, and send the customer to Stripe's page."""
    nonce = request.POST.get("nonce", "")
    if not NONCE.fullmatch(nonce):
        return SeeOther(active_links()["checkout_confirm"])
    placed = Order.objects.filter(nonce=nonce).first()
    if placed is not None:  # the second of two clicks
        return to_payment(placed)
    cart = read_cart(request)
    if not cart:
        return SeeOther(active_links()["cart"])
    kept = request.session.get(ADDRESS)
    if kept is None:
        return SeeOther(active_links()["checkout"])
    quote = load_quote(cart)
    if request.POST.get("fingerprint") != quote.fingerprint or not quote.is_orderable:
        return show_again(request, cart, quote, changed=True)
    try:
        order = orders.place(
            nonce=nonce,
            language="en" if get_language() == "en" else "ja",
            lines=[
                orders.NewLine(
                    item_id=line.offer.item_id,
                    sku=line.offer.sku,
                    title=line.offer.full_title,
                    unit_price=line.offer.price,
                    quantity=line.quantity,
                    tax_rate=line.offer.tax_rate,
                )
                for line in quote.counted_lines
            ],
            address=orders.Address(**kept),
            discount=quote.totals.discount,
            shipping_fee=quote.totals.shipping_fee,
            now=timezone.now(),
        )
    except orders.SoldOut:  # somebody was faster between the quote and the reservation
        quote = load_quote(cart)
        message = _("While you were ordering, the last pieces were sold. Nothing was ordered or charged.")
        return show_again(request, cart, quote, message=message)
    except orders.OrderRefused as refusal:
        return show_again(request, cart, quote, message=str(refusal))
    response = to_payment(order)
    write_cart(response, Cart())
    request.session[PLACED] = order.token
    request.session.pop(ADDRESS, None)
    request.session.pop(TYPED, None)
    return response


def show_again(
    request: HttpRequest, cart: Cart, quote: Quote, *, changed: bool = False, message: str = ""
) -> HttpResponse:
    """Show the confirmation with what changed; from now on the new prices are the ones that were seen."""
    response = show_confirmation(request, quote, changed=changed, message=message, status=409)
    write_cart(response, cart.with_seen_prices({line.offer.sku: line.offer.price for line in quote.lines}))
    return response


def to_payment(order: Order) -> HttpResponse:
    """Send the customer to Stripe's page, or to the order page when there is none to be had now."""
    page = reverse("order", args=[order.token])
    try:
        return SeeOther(start_payment(order, now=timezone.now()))
    except PaymentUnavailable:
        return SeeOther(f"{page}?payment=unavailable")
    except NotPayable:
        return SeeOther(page)
