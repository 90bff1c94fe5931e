"""What every page of the shop shares: navigation, addresses, headers."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db.models import CharField, PositiveSmallIntegerField, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language, override

from shop.memo import Memo
from shop.models import Category, ContentPage, in_language
from shop.prepared import ask

# The law and the customer look for these first; further pages of the admin follow.
FIRST_PAGES = ("shipping", "returns", "faq", "tokushoho", "privacy", "terms")
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


@dataclass(frozen=True, slots=True)
class Link:
    """A place to go."""

    slug: str
    name: str  # in the active language
    url: str


@dataclass(frozen=True, slots=True)
class Navigation:
    """The shelves in the header and the texts in the footer."""

    categories: tuple[Link, ...]
    pages: tuple[Link, ...]

    def page(self, slug: str) -> Link | None:
        """Return the text called `slug`, when staff have written it."""
        return next((page for page in self.pages if page.slug == slug), None)


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


def load_navigation() -> Navigation:
    """Read categories and texts with one query."""
    rows = sorted(ask(_navigation), key=lambda row: (row["position"], row["slug"]))
    pages = [
        Link(row["slug"], in_language(row["name_ja"], row["name_en"]), page_url(row["slug"]))
        for row in rows
        if row["kind"] == "page"
    ]
    order = {slug: place for place, slug in enumerate(FIRST_PAGES)}
    return Navigation(
        categories=tuple(
            Link(row["slug"], in_language(row["name_ja"], row["name_en"]), category_url(row["slug"]))
            for row in rows
            if row["kind"] == "category"
        ),
        pages=tuple(sorted(pages, key=lambda page: order.get(page.slug, len(order)))),
    )


def _navigation() -> QuerySet[Any, Any]:
    shelves = Category.objects.annotate(kind=Value("category", CharField())).values(
        "kind", "position", "slug", "name_ja", "name_en"
    )
    texts = ContentPage.objects.annotate(
        kind=Value("page", CharField()), place=Value(0, PositiveSmallIntegerField())
    ).values("kind", "place", "slug", "title_ja", "title_en")
    return shelves.order_by().union(texts.order_by(), all=True)


def in_other_language(path: str) -> str:
    """Return the address of the same page in the other language."""
    return path.removeprefix("/en") if path.startswith("/en/") else f"/en{path}"


PAGES = Memo(512)  # 512 pages of 20 KB are 10 MB


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    private: bool = False,
    navigation: Navigation | None = None,
    canonical: str = "",
    facts: Hashable = None,
) -> HttpResponse:
    """Render a page of the shop.

    A page is rendered without the request, so that nothing of the visitor (session, user, CSRF token) can reach
    it: a public page is the same bytes for everybody. `private` pages are never stored and never indexed.
    `canonical` is the path and query under which search engines shall know the page. `facts` are all values that
    the page shows besides its address; a page with the same facts is not rendered again.
    """
    language = get_language() or settings.LANGUAGE_CODE
    canonical = canonical or request.path
    shelves = navigation if navigation is not None else load_navigation()
    here_path = request.get_full_path() if request.method == "GET" else request.path

    def make() -> bytes:
        base = settings.STOREFRONT_BASE_URL
        other = in_other_language(canonical)
        japanese, english = (other, canonical) if language == "en" else (canonical, other)
        text: str = get_template(template).render(
            {
                "navigation": shelves,
                "links": links(language),
                "language": language,
                "base_url": base,
                "canonical": base + canonical,
                "japanese_url": base + japanese,
                "english_url": base + english,
                "other_language_path": in_other_language(here_path),
                "noindex": private or status >= 400,
                **(context or {}),
            }
        )
        return text.encode()

    if facts is None or private:
        response = HttpResponse(make(), status=status)
    else:
        terms = (settings.STOREFRONT_BASE_URL, settings.SHIPPING_FEE, settings.FREE_SHIPPING_FROM)
        key = (template, language, here_path, canonical, status, shelves, terms, facts)
        response = HttpResponse(PAGES.get(key, make), status=status)
    if private:
        add_never_cache_headers(response)
        response["X-Robots-Tag"] = "noindex, nofollow"
    elif status == 200:
        # browsers ask again (prices and stock move), a cache in front may keep a page for a minute
        response["Cache-Control"] = "public, max-age=0, s-maxage=60"
    return response
