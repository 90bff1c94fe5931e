"""The addresses that pages link to, in the active language."""

from collections.abc import Mapping
from functools import cache

from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language, override

NAMED = (
    "home",
    "product_list",
    "search",
    "cart",
    "cart_add",
    "cart_update",
    "checkout",
    "checkout_confirm",
    "checkout_place",
    "contact",
)


@cache
def links(language: str) -> Mapping[str, str]:
    """Return the fixed addresses in `language`; computed once, since a `reverse()` costs more than a query's row."""
    with override(language):
        fixed = {name: reverse(name) for name in NAMED}
        for name in ("product", "category", "page"):
            fixed[f"{name}_prefix"] = reverse(name, args=["x"]).removesuffix("x/")
    return fixed


def here() -> Mapping[str, str]:
    """Return the fixed addresses in the active language."""
    return links(get_language() or settings.LANGUAGE_CODE)


def product_url(slug: str) -> str:
    """Return a product's address in the active language."""
    return f"{here()['product_prefix']}{slug}/"


def category_url(slug: str) -> str:
    """Return a category's address in the active language."""
    return f"{here()['category_prefix']}{slug}/"


def page_url(slug: str) -> str:
    """Return the address of a text in the active language."""
    return f"{here()['page_prefix']}{slug}/"
