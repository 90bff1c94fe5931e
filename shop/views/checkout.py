"""Checkout in three steps: the address, the final confirmation that the law requires, Stripe's page."""

import secrets
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from kikaku.client_address import client_key
from ledger.models import Order
from ledger.sales import holds, orders
from ledger.sales.checkout import NotPayable, PaymentUnavailable, start_payment
from ledger.sales.delivery import expected_delivery, load_table
from ledger.stripe.methods import METHODS, offered_methods
from shop.address import AddressForm
from shop.cart import Cart, read_cart, write_cart
from shop.delivery import destination_of, remember_destination
from shop.forms import CHECK, NONCE_PATTERN
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import Quote, load_quote
from shop.sessions import renew_session
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

TYPED_KEY = "checkout_typed"  # session key: the typed values, not checked
ADDRESS_KEY = "checkout_address"  # session key: the checked address
PLACED_KEY = "checkout_placed"  # session key: token of the last order
NOTICE_KEY = "checkout_notice"  # session key: why an order was not placed, as texts


@same_origin_only
@require_http_methods(["GET", "HEAD", "POST"])
def address(request: HttpRequest) -> HttpResponse:
    """Ask for the delivery address; what was typed is kept in the session from the first post on."""
    cart = read_cart(request)
    if not cart:
        return redirect_without_cart(request)
    if request.method == "POST":
        form = AddressForm(request.POST)
        renew_session(request)
        request.session[TYPED_KEY] = {name: request.POST.get(name, "")[:2000] for name in form.fields}
        if form.is_valid():
            request.session[ADDRESS_KEY] = form.address()
            response = SeeOther(active_links()["checkout_confirm"])
            place = form.cleaned_data["prefecture"], form.cleaned_data["postal_code"]
            remember_destination(response, destination_of(*place, load_table()))
            return response
        request.session.pop(ADDRESS_KEY, None)
        return SeeOther(f"{active_links()['checkout']}?{CHECK}=1")
    typed = request.session.get(TYPED_KEY)
    form = AddressForm(typed) if typed and CHECK in request.GET else AddressForm(initial=typed)
    return render_page(
        request,
        "shop/checkout.html",
        {"form": form, "quote": load_quote(cart, now=timezone.now())},
        private=True,
    )


@require_safe
def confirm(request: HttpRequest) -> HttpResponse:
    """Show on one page everything that 特商法 §12-6 requires, with the button that places the order."""
    cart = read_cart(request)
    if not cart:
        return redirect_without_cart(request)
    if ADDRESS_KEY not in request.session:
        return SeeOther(active_links()["checkout"])
    return render_confirmation(request, load_quote(cart, now=timezone.now()))


def redirect_without_cart(request: HttpRequest) -> HttpResponse:
    """Redirect a customer who returns from Stripe's page to the pending order, any other visitor to the cart.

    Only while Stripe's page is open: the browser may be shared, and an order is private.
    """
    token = request.session.get(PLACED_KEY)
    since = timezone.now() - timedelta(minutes=settings.CHECKOUT_MINUTES)
    if token and Order.objects.pending().filter(token=token, placed_at__gt=since).exists():
        return SeeOther(reverse("order", args=[token]))
    return SeeOther(active_links()["cart"])


def render_confirmation(request: HttpRequest, quote: Quote) -> HttpResponse:
    """Return the final confirmation with a new nonce and the fingerprint of the quote."""
    notices = request.session.get(NOTICE_KEY, []) if CHECK in request.GET else []
    problems = [problem.message for problem in quote.problems]
    address = request.session[ADDRESS_KEY]
    by_total = offered_methods(quote.totals.total)
    wanted = {line.offer.item_id: line.quantity for line in quote.counted_lines}
    vouchers = len(by_total) == 1 or holds.voucher_fits(wanted, address["email"])
    offered = offered_methods(quote.totals.total, vouchers=vouchers)
    days = load_table().days(address["prefecture"], address["postal_code"])
    return render_page(
        request,
        "shop/confirm.html",
        {
            "quote": quote,
            "address": address,
            "delivery": expected_delivery(timezone.now(), days),
            "nonce": secrets.token_urlsafe(24),
            "notices": notices[:1],
            "problems": list(dict.fromkeys([*notices[1:], *problems])),
            "minutes": settings.CHECKOUT_MINUTES,
            "offered": offered,
            "not_offered": [method for method in METHODS.values() if method not in by_total],
            "held_back": [method for method in by_total if method not in offered],
        },
        private=True,
    )


@same_origin_only
@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """Place the order that the confirmation showed, once, and redirect to Stripe's page."""
    nonce = request.POST.get("nonce", "")
    if not NONCE_PATTERN.fullmatch(nonce):
        return SeeOther(active_links()["checkout_confirm"])
    placed = Order.objects.filter(nonce=nonce).first()
    if placed is not None:  # the second of two clicks
        return redirect_to_payment(placed)
    cart = read_cart(request)
    if not cart:
        return SeeOther(active_links()["cart"])
    delivery_address = request.session.get(ADDRESS_KEY)
    if delivery_address is None:
        return SeeOther(active_links()["checkout"])
    now = timezone.now()  # of the quote and of the order: the rules of tax may change at midnight
    quote = load_quote(cart, now=now)
    if request.POST.get("fingerprint") != quote.fingerprint or not quote.is_orderable:
        message = _(
            "Something changed since you saw this page. Nothing was ordered or charged; please look again."
        )
        return redirect_to_changed_confirmation(request, cart, quote, message)
    try:
        order = orders.place_order(
            nonce=nonce,
            language="en" if get_language() == "en" else "ja",
            lines=[
                orders.NewOrderLine(
                    item_id=line.offer.item_id,
                    sku=line.offer.sku,
                    title=line.offer.full_title,
                    title_ja=line.offer.full_title_ja,
                    unit_price=line.offer.price,
                    quantity=line.quantity,
                    tax_class=line.offer.tax_class,
                )
                for line in quote.counted_lines
            ],
            address=orders.Address(**delivery_address),
            discount=quote.totals.discount,
            shipping_fee=quote.totals.shipping_fee,
            now=now,
            client=client_key(request.META["REMOTE_ADDR"]),
        )
    except orders.SoldOut:  # another order reserved the pieces after the quote
        quote = load_quote(cart, now=now)
        message = _("While you were ordering, the last pieces were sold. Nothing was ordered or charged.")
        return redirect_to_changed_confirmation(request, cart, quote, message)
    except orders.OrderRefused as refusal:
        return redirect_to_changed_confirmation(request, cart, quote, str(refusal))
    response = redirect_to_payment(order)
    write_cart(response, Cart())
    renew_session(request)
    request.session[PLACED_KEY] = order.token
    request.session.pop(ADDRESS_KEY, None)
    request.session.pop(TYPED_KEY, None)
    request.session.pop(NOTICE_KEY, None)
    return response


def redirect_to_changed_confirmation(
    request: HttpRequest, cart: Cart, quote: Quote, message: str
) -> HttpResponse:
    """Redirect to the confirmation, which says why nothing was ordered; prices then count as seen."""
    request.session[NOTICE_KEY] = [message, *(problem.message for problem in quote.problems)]
    response = SeeOther(f"{active_links()['checkout_confirm']}?{CHECK}=1")
    write_cart(response, cart.with_seen_prices({line.offer.sku: line.offer.price for line in quote.lines}))
    return response


def redirect_to_payment(order: Order) -> HttpResponse:
    """Redirect to Stripe's payment page, or to the order page if there is none."""
    page = reverse("order", args=[order.token])
    try:
        return SeeOther(start_payment(order, now=timezone.now()))
    except PaymentUnavailable:
        return SeeOther(f"{page}?payment=unavailable")
    except NotPayable:
        return SeeOther(page)
