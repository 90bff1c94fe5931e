"""The cart: looking at it, putting something in, changing it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from shop import cart as carts
from shop.cart import Cart, CartFull, WrongQuantity, parse_quantity
from shop.catalogue import featured_cards
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import Kind, Quote, load_offers, price_of, quote
from shop.views.origin import own_pages_only
from shop.views.redirects import SeeOther


def price(cart: Cart) -> Quote:
    """Price a cart with one query."""
    return quote(cart.lines, load_offers(line.sku for line in cart))


@require_safe
def cart_page(request: HttpRequest) -> HttpResponse:
    """Show what is in the cart, what it costs and what stands in the way."""
    cart = carts.read(request)
    added = request.GET.get("added", "")
    return show(request, cart, added=added if cart.get(added) else "")


def show(
    request: HttpRequest,
    cart: Cart,
    *,
    added: str = "",
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    notices: tuple[str, ...] = (),
    retry: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the cart; `typed` and `errors` (by SKU) keep what was typed with what is wrong about it."""
    priced = price(cart)
    free_from = settings.FREE_SHIPPING_FROM
    response = render_page(
        request,
        "shop/cart.html",
        {
            "quote": priced,
            "rows": [
                {
                    "line": line,
                    "field": f"q-{line.offer.sku}",
                    "typed": (typed or {}).get(line.offer.sku, str(line.quantity)),
                    "error": (errors or {}).get(line.offer.sku, ""),
                    "problems": line.problems,
                }
                for line in priced.lines
            ],
            "general": [problem for problem in priced.problems if problem.kind in GENERAL],
            "added": next((line.offer.full_title for line in priced.lines if line.offer.sku == added), ""),
            "notices": notices,
            "retry": retry,
            "damaged": cart.damaged,
            "free_from": free_from,
            "free_share": round(320 * min((free_from - priced.missing_for_free_shipping) / free_from, 1)),
            "cards": [] if priced.lines else featured_cards(4),
        },
        status=status,
        private=True,
    )
    gone = [problem.sku for problem in priced.problems if problem.kind is Kind.UNKNOWN]
    if gone or cart.damaged:  # said once on this page; the cookie then matches what is shown
        carts.write(response, cart.remove(gone))
    return response


GENERAL = (Kind.UNKNOWN, Kind.BELOW_MINIMUM, Kind.ABOVE_MAXIMUM)


@own_pages_only
@require_POST
def cart_add(request: HttpRequest) -> HttpResponse:
    """Put something into the cart."""
    cart = carts.read(request)
    sku = request.POST.get("sku", "").replace("\x00", "")[:64]  # PostgreSQL knows no NUL
    text = request.POST.get("quantity", "1")[:20]
    offered = price_of(sku) if sku else None  # JPY
    if offered is None:
        message = (
            _("This item is not sold any more, or the link to it was wrong.")
            if sku
            else _("Please choose one of the options first.")
        )
        return show(request, cart, notices=(message,), status=422)
    try:
        quantity = parse_quantity(text)
        if quantity == 0:
            raise WrongQuantity
        changed = cart.add(sku, quantity, price=offered)
        response: HttpResponse = SeeOther(f"{active_links()['cart']}?{urlencode({'added': sku})}")
        carts.write(response, changed)
    except WrongQuantity:
        message = _("Please enter a whole number from 1 to 9,999.")
        retry = {"offer": load_offers([sku]).get(sku), "typed": text}
        return show(request, cart, notices=(message,), retry=retry, status=422)
    except CartFull:
        message = _("A cart holds 50 different items. Please order these first, or remove some.")
        return show(request, cart, notices=(message,), status=422)
    return response


@own_pages_only
@require_POST
def cart_update(request: HttpRequest) -> HttpResponse:
    """Take over the typed quantities, remove a line, or go on to checkout with them."""
    cart = carts.read(request)
    if cart.damaged:
        return show(request, cart)
    changed, errors, typed = cart, {}, {}
    removed = request.POST.get("remove", "")
    for line in cart:
        text = request.POST.get(f"q-{line.sku}", str(line.quantity))[:20]
        typed[line.sku] = text
        if line.sku == removed:
            changed = changed.remove([removed])
            continue
        try:
            changed = changed.change(line.sku, parse_quantity(text))
        except WrongQuantity:
            errors[line.sku] = _("Please enter a whole number from 0 to 9,999; 0 removes the item.")
    if errors:
        response = show(request, changed, typed=typed, errors=errors, status=422)
        carts.write(response, changed)
        return response
    priced = price(changed)
    # what was on the page when the button was pressed has been seen
    shown = {key.removeprefix("p-"): value for key, value in request.POST.items() if key.startswith("p-")}
    changed = changed.seen(
        {
            line.offer.sku: line.offer.price
            for line in priced.lines
            if shown.get(line.offer.sku) == str(line.offer.price)
        }
    )
    going_on = request.POST.get("next") == "checkout" and priced.orderable
    response = SeeOther(active_links()["checkout"] if going_on else active_links()["cart"])
    carts.write(response, changed)
    return response


@require_safe
def cart_badge(request: HttpRequest) -> HttpResponse:
    """Say how many pieces are in the cart, for whatever can not read the cookie."""
    response = JsonResponse({"count": carts.read(request).pieces})
    response["Cache-Control"] = "no-store"
    return response
