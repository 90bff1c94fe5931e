"""The URLs that pages link to, in the active language."""

from collections.abc import Mapping
from functools import cache
from urllib.parse import urlencode

from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language, override

FIXED_VIEWS = (
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
    "arrival",
)


@cache
def links(language: str) -> Mapping[str, str]:
    """Return view name → URL in `language`; computed once, since `reverse()` is slow."""
    with override(language):
        fixed = {name: reverse(name) for name in FIXED_VIEWS}
        for name in ("product", "category", "page"):
            fixed[f"{name}_prefix"] = reverse(name, args=["x"]).removesuffix("x/")
    return fixed


def active_links() -> Mapping[str, str]:
    """Return view name → URL in the active language."""
    return links(get_language() or settings.LANGUAGE_CODE)


def product_url(slug: str) -> str:
    """Return a product's URL in the active language."""
    return f"{active_links()['product_prefix']}{slug}/"


def variant_url(slug: str, sku: str) -> str:
    """Return the URL of a product's page that opens with a variant."""
    return f"{product_url(slug)}?{urlencode({'sku': sku})}"


def category_url(slug: str) -> str:
    """Return a category's URL in the active language."""
    return f"{active_links()['category_prefix']}{slug}/"


def page_url(slug: str) -> str:
    """Return a content page's URL in the active language."""
    return f"{active_links()['page_prefix']}{slug}/"


def absolute(url: str) -> str:
    """Return a URL under the shop's address; files on R2 have a host already."""
    return url if "://" in url else settings.STOREFRONT_BASE_URL + url
