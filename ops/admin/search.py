"""The search box of the admin's menu: orders, customers and products, as far as the user may see them."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from unfold.dataclasses import SearchResult

from kikaku.admin.columns import format_local_time
from kikaku.money import yen
from ledger.models import Order
from shop.models import Product

MAX_FOUND = 8  # of each kind; the lists behind the links show all


def find(request: HttpRequest, text: str) -> list[SearchResult]:
    """Return orders, customers and products that contain the words of a text; four queries."""
    orders = _found(request, Order, text)
    of_orders = [] if orders is None else [*_orders(orders), *_customers(orders)]
    return [*of_orders, *_products(request, text)]


def _found(request: HttpRequest, model: type[Any], text: str) -> QuerySet[Any] | None:
    """Return the rows that the list of a model finds; None if the user may not see them."""
    model_admin = admin.site._registry[model]
    if not model_admin.has_view_permission(request):
        return None
    rows, _duplicates = model_admin.get_search_results(request, model._default_manager.all(), text)
    return rows


def _orders(found: QuerySet[Order]) -> list[SearchResult]:
    return [
        SearchResult(
            title=f"{order.number}　{order.name}",
            description="　".join(
                (format_local_time(order.placed_at), yen(order.total), order.get_status_display())
            ),
            link=reverse("admin:ledger_order_change", args=[order.pk]),
            icon="receipt_long",
        )
        for order in found.order_by("-placed_at", "-id")[:MAX_FOUND]
    ]


def _customers(found: QuerySet[Order]) -> list[SearchResult]:
    """Return the customers of the orders that are found: a customer is an e-mail address."""
    customers = (
        found.order_by()
        .values("email")
        .annotate(
            orders=Count("pk"), last=Max("placed_at"), family=Max("family_name"), given=Max("given_name")
        )
        .order_by("-last")[:MAX_FOUND]
    )
    return [
        SearchResult(
            title=f"{one['family']} {one['given']}　{one['email']}",
            description=_("customer")
            + "　"
            + ngettext("%d order", "%d orders", one["orders"]) % one["orders"],
            link=f"{reverse('admin:ledger_order_changelist')}?{urlencode({'q': one['email']})}",
            icon="person",
        )
        for one in customers
    ]


def _products(request: HttpRequest, text: str) -> list[SearchResult]:
    found = _found(request, Product, text)
    if found is None:
        return []
    return [
        SearchResult(
            title=product.title_ja,
            description=f"{product._meta.verbose_name}　{product.get_status_display()}",
            link=reverse("admin:shop_product_change", args=[product.pk]),
            icon="lightbulb",
        )
        for product in found.order_by("position", "id")[:MAX_FOUND]
    ]
