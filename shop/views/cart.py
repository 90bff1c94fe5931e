"""The cart: show it, add to it, change it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from shop.cart import Cart, CartFull, InvalidQuantity, parse_quantity, read_cart, write_cart
from shop.catalogue import featured_cards
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import ProblemKind, load_offers, load_price, load_quote
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

# problems of the whole cart, shown above its lines
GENERAL_PROBLEMS = (ProblemKind.UNKNOWN, ProblemKind.BELOW_MINIMUM, ProblemKind.ABOVE_MAXIMUM)


@require_safe
def cart_page(request: HttpRequest) -> HttpResponse:
    """Show the cart with what it costs and the problems that prevent ordering it."""
    cart = read_cart(request)
    added = request.GET.get("added", "")
    return render_cart(request, cart, added=added if cart.get(added) else "")


def render_cart(
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
    """Return the cart page; `typed` and `errors` map SKUs to what was typed and what is wrong with it."""
    quote = load_quote(cart)
    free_from = settings.FREE_SHIPPING_FROM
    response = render_page(
        request,
        "shop/cart.html",
        {
            "quote": quote,
            "rows": [
                {
                    "line": line,
                    "field": f"q-{line.offer.sku}",
                    "typed": (typed or {}).get(line.offer.sku, str(line.quantity)),
                    "error": (errors or {}).get(line.offer.sku, ""),
                    "problems": line.problems,
                }
                for line in quote.lines
            ],
            "general": [problem for problem in quote.problems if problem.kind in GENERAL_PROBLEMS],
            "added": next((line.offer.full_title for line in quote.lines if line.offer.sku == added), ""),
            "notices": notices,
            "retry": retry,
            "damaged": cart.damaged,
            "free_from": free_from,
            "free_share": round(320 * min((free_from - quote.missing_for_free_shipping) / free_from, 1)),
            "cards": [] if quote.lines else featured_cards(4),
        },
        status=status,
        private=True,
    )
    gone = [problem.sku for problem in quote.problems if problem.kind is ProblemKind.UNKNOWN]
    if gone or cart.damaged:  # reported once: after this page the cookie has neither
        write_cart(response, cart.remove(gone))
    return response


@same_origin_only
@require_POST
def cart_add(request: HttpRequest) -> HttpResponse:
    """Add a SKU to the cart."""
    cart = read_cart(request)
    sku = request.POST.get("sku", "").replace("\x00", "")[:64]  # PostgreSQL rejects NUL
    text = request.POST.get("quantity", "1")[:20]
    offered = load_price(sku) if sku else None  # JPY
    if offered is None:
        message = (
            _("This item is not sold any more, or the link to it was wrong.")
            if sku
            else _("Please choose one of the options first.")
        )
        return render_cart(request, cart, notices=(message,), status=422)
    try:
        quantity = parse_quantity(text)
        if quantity == 0:
            raise InvalidQuantity
        changed = cart.add(sku, quantity, price=offered)
        response: HttpResponse = SeeOther(f"{active_links()['cart']}?{urlencode({'added': sku})}")
        write_cart(response, changed)
    except InvalidQuantity:
        message = _("Please enter a whole number from 1 to 9,999.")
        retry = {"offer": load_offers([sku]).get(sku), "typed": text}
        return render_cart(request, cart, notices=(message,), retry=retry, status=422)
    except CartFull:
        message = _("A cart holds 50 different items. Please order these first, or remove some.")
        return render_cart(request, cart, notices=(message,), status=422)
    return response


@same_origin_only
@require_POST
def cart_update(request: HttpRequest) -> HttpResponse:
    """Set the typed quantities, remove a line, or set them and go on to checkout."""
    cart = read_cart(request)
    if cart.damaged:
        return render_cart(request, cart)
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
        except InvalidQuantity:
            errors[line.sku] = _("Please enter a whole number from 0 to 9,999; 0 removes the item.")
    if errors:
        response = render_cart(request, changed, typed=typed, errors=errors, status=422)
        write_cart(response, changed)
        return response
    quote = load_quote(changed)
    # the prices that the page showed when the button was pressed
    shown = {key.removeprefix("p-"): value for key, value in request.POST.items() if key.startswith("p-")}
    changed = changed.with_seen_prices(
        {
            line.offer.sku: line.offer.price
            for line in quote.lines
            if shown.get(line.offer.sku) == str(line.offer.price)
        }
    )
    going_on = request.POST.get("next") == "checkout" and quote.is_orderable
    response = SeeOther(active_links()["checkout"] if going_on else active_links()["cart"])
    write_cart(response, changed)
    return response


@require_safe
def cart_badge(request: HttpRequest) -> HttpResponse:
    """Return the number of pieces in the cart as JSON, for clients that cannot read the cookie."""
    response = JsonResponse({"count": read_cart(request).pieces})
    response["Cache-Control"] = "no-store"
    return response
