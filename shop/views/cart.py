"""The cart: show it, add to it, change it."""

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from shop.cart import CartFull, InvalidQuantity, parse_quantity, read_cart, write_cart
from shop.catalogue import LOW_STOCK, featured_cards
from shop.pages.links import active_links
from shop.pages.render import render_page
from shop.quote import ProblemKind, load_offers, load_price, load_quote
from shop.views.origin import same_origin_only
from shop.views.redirects import SeeOther

# problems of the whole cart, shown above its lines
GENERAL_PROBLEMS = (
    ProblemKind.CLOSED,
    ProblemKind.UNKNOWN,
    ProblemKind.BELOW_MINIMUM,
    ProblemKind.ABOVE_MAXIMUM,
)


@require_safe
def cart_page(request: HttpRequest) -> HttpResponse:
    """Show the cart with what it costs and the problems that prevent ordering it.

    After a refused post the query has what was wrong: `problem`, or the typed quantity of a line.
    """
    cart = read_cart(request)
    quote = load_quote(cart, now=timezone.now())
    typed = {line.sku: request.GET.get(f"q-{line.sku}", "")[:20] for line in cart}
    blocking = [problem for problem in quote.problems if problem.blocks_order]
    blocked = {problem.sku for problem in blocking}
    errors = {sku: quantity_error(text) for sku, text in typed.items()}
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
                    "typed": typed[line.offer.sku] or str(line.quantity),
                    "error": errors[line.offer.sku],
                    "problems": line.problems,
                    "is_too_many": line.quantity > line.offer.available > 0,
                    # above a handful it would tell how many there are
                    "can_take": line.quantity > line.offer.available
                    and 0 < line.offer.available <= LOW_STOCK,
                }
                for line in quote.lines
            ],
            "to_mend": bool(blocked or any(errors.values())),
            # what is no longer sold leaves the cart with this response, so the customer may go on
            "orderable": bool(quote.counted_lines)
            and all(problem.kind is ProblemKind.UNKNOWN for problem in blocking),
            "total_known": all(problem.kind is not ProblemKind.TOO_MANY for problem in quote.problems),
            "general": [problem for problem in quote.problems if problem.kind in GENERAL_PROBLEMS],
            "added": next(
                (
                    line.offer.full_title
                    for line in quote.lines
                    if line.offer.sku == request.GET.get("added") and line.offer.sku not in blocked
                ),
                "",
            ),
            **refusal(request),
            "damaged": cart.damaged,
            "free_from": free_from,
            "free_share": round(320 * min((free_from - quote.missing_for_free_shipping) / free_from, 1)),
            "cards": [] if quote.lines else featured_cards(4),
        },
        private=True,
    )
    gone = [problem.sku for problem in quote.problems if problem.kind is ProblemKind.UNKNOWN]
    if gone or cart.damaged:  # reported once: after this page the cookie has neither
        write_cart(response, cart.remove(gone))
    return response


def quantity_error(typed: str) -> str:
    """Return what is wrong with a typed quantity of a line; "" if it is fine or nothing was typed."""
    try:
        if typed:
            parse_quantity(typed)
    except InvalidQuantity:
        return _("Please enter a whole number from 0 to 9,999; 0 removes the item.")
    return ""


def refusal(request: HttpRequest) -> dict[str, Any]:
    """Return why the last addition was refused, as the query says, and how to try again."""
    problem = request.GET.get("problem", "")
    message = {
        "unknown": _("This item is not sold any more, or the link to it was wrong."),
        "unchosen": _("Please choose one of the options first."),
        "quantity": _("Please enter a whole number from 1 to 9,999."),
        "full": _("A cart holds 50 different items. Please order these first, or remove some."),
    }.get(problem)
    if message is None:
        return {}
    sku = clean_sku(request.GET.get("sku", ""))
    offer = load_offers([sku], now=timezone.now()).get(sku) if problem == "quantity" and sku else None
    retry = {"offer": offer, "typed": request.GET.get("typed", "")[:20]} if offer else None
    return {"notices": (message,), "retry": retry}


def clean_sku(text: str) -> str:
    """Return a SKU that was sent to us as the database takes it; PostgreSQL rejects NUL."""
    return text.replace("\x00", "")[:64]


def redirect_to_cart(**query: str) -> SeeOther:
    """Redirect to the cart page."""
    address = active_links()["cart"]
    return SeeOther(f"{address}?{urlencode(query)}" if query else address)


@same_origin_only
@require_POST
def cart_add(request: HttpRequest) -> HttpResponse:
    """Add a SKU to the cart."""
    cart = read_cart(request)
    sku = clean_sku(request.POST.get("sku", ""))
    text = request.POST.get("quantity", "1")[:20]
    offered = load_price(sku) if sku else None  # JPY
    if offered is None:
        return redirect_to_cart(problem="unknown" if sku else "unchosen")
    try:
        quantity = parse_quantity(text)
        if quantity == 0:
            raise InvalidQuantity
        changed = cart.add(sku, quantity, price=offered)
        response = redirect_to_cart(added=sku)
        write_cart(response, changed)
    except InvalidQuantity:
        return redirect_to_cart(problem="quantity", sku=sku, typed=text)
    except CartFull:
        return redirect_to_cart(problem="full")
    return response


@same_origin_only
@require_POST
def cart_update(request: HttpRequest) -> HttpResponse:
    """Set the typed quantities, remove a line, take what is left of one, or go on to checkout."""
    cart = read_cart(request)
    if cart.damaged:
        return redirect_to_cart()
    changed, wrong = cart, {}
    removed, taken = request.POST.get("remove", ""), clean_sku(request.POST.get("take", ""))
    for line in cart:
        text = request.POST.get(f"q-{line.sku}", str(line.quantity))[:20]
        if line.sku == removed:
            changed = changed.remove([removed])
        elif line.sku != taken:
            try:
                changed = changed.change(line.sku, parse_quantity(text))
            except InvalidQuantity:
                wrong[f"q-{line.sku}"] = text or " "
    quote = load_quote(changed, now=timezone.now())
    if taken:
        available = {line.offer.sku: line.offer.available for line in quote.lines}
        if 0 < available.get(taken, 0) <= LOW_STOCK:
            changed = changed.change(taken, available[taken])
            quote = load_quote(changed, now=timezone.now())
    # the prices that the page showed when the button was pressed
    shown = {key.removeprefix("p-"): value for key, value in request.POST.items() if key.startswith("p-")}
    changed = changed.with_seen_prices(
        {
            line.offer.sku: line.offer.price
            for line in quote.lines
            if shown.get(line.offer.sku) == str(line.offer.price)
        }
    )
    going_on = request.POST.get("next") == "checkout" and quote.is_orderable and not wrong
    response = SeeOther(active_links()["checkout"]) if going_on else redirect_to_cart(**wrong)
    write_cart(response, changed)
    return response


@require_safe
def cart_badge(request: HttpRequest) -> HttpResponse:
    """Return the number of pieces in the cart as JSON, for clients that cannot read the cookie."""
    response = JsonResponse({"count": read_cart(request).pieces})
    response["Cache-Control"] = "no-store"
    return response
