"""Home, lists, search and the product page: the same bytes for every visitor, at most three queries."""

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from ledger.sales.delivery import expected_delivery, load_table
from shop import structured_data
from shop.catalogue import (
    LOW_STOCK,
    load_home,
    load_product,
)
from shop.delivery import honshu, parse_destination
from shop.filters import FILTER_OPTIONS, LIGHTS, PRICES, Filters, page_number, read_sku
from shop.listing import NoSuchPage, load_listing, load_near
from shop.models import Category, Product
from shop.pages.delivery_table import load_delivery_table
from shop.pages.links import active_links, category_url, product_url
from shop.pages.navigation import load_navigation
from shop.pages.render import PUBLIC_CACHE_CONTROL, render_page
from shop.scales import kelvin_scale, known_marks, lumen_scale
from shop.views.redirects import moved

MAX_SWITCHED_VARIANTS = 24  # variants whose price and picture the style sheet can switch


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the rooms, four products and three facts about the shop."""
    rooms, cards = load_home(4)
    return render_page(request, "shop/home.html", {"rooms": rooms, "cards": cards})


@require_safe
def product_list(request: HttpRequest) -> HttpResponse:
    """List all products."""
    return render_list(request, Filters.read(request.GET.dict()))


@require_safe
def category(request: HttpRequest, slug: str) -> HttpResponse:
    """List the products of a category."""
    found = Category.objects.filter(slug=slug).first()
    if found is None:
        return moved(request, Category, slug, category_url)
    return render_list(request, Filters.read(request.GET.dict(), category=slug), found)


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Search in everything that is written about the products."""
    return render_list(request, Filters.read(request.GET.dict()), searching=True)


def render_list(
    request: HttpRequest,
    filters: Filters,
    found: Category | None = None,
    *,
    searching: bool = False,
) -> HttpResponse:
    """Return a list page with its filters, or the page of a search."""
    try:
        page = page_number(request.GET.get("page", ""))
        result = load_listing(filters, page=page)
    except NoSuchPage:
        raise Http404 from None
    # a search that finds nothing shows what comes close; with filters, the page offers to remove them
    nothing = (
        filters.query and not result.count and filters == Filters(query=filters.query, sort=filters.sort)
    )
    near = load_near(filters.query) if nothing else []
    navigation = load_navigation()
    own = replace(filters, category="") if found else filters  # the category is in the path
    names = {link.slug: link.name for link in navigation.categories}
    chips: list[tuple[Any, str]] = []
    if filters.category and not found:
        chips.append((names.get(filters.category, filters.category), replace(own, category="").parameters()))
    if filters.light:
        chips.append((LIGHTS[filters.light][0], replace(own, light="").parameters()))
    if filters.price:
        chips.append((PRICES[filters.price][0], replace(own, price="").parameters()))
    if filters.in_stock:
        chips.append((None, replace(own, in_stock=False).parameters()))
    filtered = bool(chips)
    canonical = request.path + (f"?page={page}" if page > 1 and not filtered and not searching else "")
    return render_page(
        request,
        "shop/search.html" if searching else "shop/list.html",
        {
            "listing": result,
            "near": near,
            "filters": filters,
            "category": found,
            "filter_options": FILTER_OPTIONS,
            "chips": chips,
            "filtered": filtered,
            "clear": request.path + (f"?q={filters.query}" if searching and filters.query else ""),
            "pages": page_links(own, result.page, result.pages),
            "noindex": filtered or searching or bool(filters.sort),
        },
        navigation=navigation,
        canonical=canonical,
    )


def page_links(filters: Filters, page: int, pages: int) -> list[tuple[int, str]]:
    """Return (number, query string) of the first, last and neighbouring pages; number 0 is a gap."""
    if pages < 2:
        return []
    shown = sorted({1, pages, *(n for n in range(page - 1, page + 2) if 1 <= n <= pages)})
    offered: list[tuple[int, str]] = []
    for number in shown:
        if offered and number > offered[-1][0] + 1:
            offered.append((0, ""))
        offered.append((number, filters.parameters(page=str(number) if number > 1 else "") or "?"))
    return offered


@require_safe
def product(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a product, opened with the variant `sku`; an archived one with a notice and similar products."""
    found = load_product(slug, read_sku(request.GET.dict()))
    if found is None:
        return moved(request, Product, slug, product_url)
    table = load_delivery_table()
    return render_page(
        request,
        "shop/product.html",
        {
            "product": found,
            "shown": found.shown,
            "prices_differ": found.prices_differ,
            "lumens_differ": found.lumens_differ,
            "switching": 1 < len(found.choices) <= MAX_SWITCHED_VARIANTS,
            "delivery": expected_delivery(timezone.now(), table.honshu_days),
            "place": honshu(),
            "low_stock": LOW_STOCK,
            "shipping_fee": settings.SHIPPING_FEE,
            "free_shipping_from": settings.FREE_SHIPPING_FROM,
            "lumen_scale": lumen_scale([c.lumens for c in found.choices if c.lumens]),
            "known_marks": known_marks(),
            "kelvin_scale": kelvin_scale([c.kelvin for c in found.choices if c.kelvin]),
            "json_ld": [] if found.archived else structured_data.of_product(found, table),
            "og_image": next(iter(found.rasters), ""),
            "noindex": found.archived,
        },
    )


@require_safe
def arrival(request: HttpRequest) -> HttpResponse:
    """Return the delivery of an order that is placed now to a destination: the part of the product page.

    `to` is what the cookie of `shop.delivery` holds; the script asks for it.
    """
    destination = parse_destination(request.GET.get("to", "")[:20])
    if destination is None:
        raise Http404
    table = load_table()
    days = table.days(destination.prefecture, destination.prefix)
    values = {
        "delivery": expected_delivery(timezone.now(), days),
        "place": destination.place(table),
        "shipping_fee": settings.SHIPPING_FEE,
        "free_shipping_from": settings.FREE_SHIPPING_FROM,
        "links": active_links(),
    }
    response = HttpResponse(render_to_string("shop/arrival.html", values))
    response["Cache-Control"] = PUBLIC_CACHE_CONTROL
    response["X-Robots-Tag"] = "noindex"
    return response
