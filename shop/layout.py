"""What every page of the shop shares: navigation, addresses, headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.conf import settings
from django.db.models import CharField, PositiveSmallIntegerField, Value
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import get_language, override

from shop.models import Category, ContentPage, chooser
from shop.pages.statements import Statement, prepare
from shop.pages.version import rendered_at

# a browser or a cache asks each time whether its page is still the same: prices move, and a 304 costs next to nothing
PUBLIC_CACHE_CONTROL = "public, no-cache"

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

    @property
    def text(self) -> dict[str, Link]:
        """The texts that staff have written, by slug."""
        return {page.slug: page for page in self.pages}


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
    """Return categories and texts in the active language; with one query, unless the page store knows their version."""
    version = rendered_at.get()
    return read_navigation() if version is None else navigation_at(version.navigation, get_language())


@lru_cache(maxsize=4)
def navigation_at(version: str, language: str | None) -> Navigation:
    """Keep what was read when `version` was the last one."""
    return read_navigation()


def read_navigation() -> Navigation:
    """Read categories and texts with one query."""
    categories: list[Link] = []
    pages: list[Link] = []
    choose = chooser()
    for kind, _place, slug, japanese, english in sorted(shelves_and_texts().rows()):
        name = choose(japanese, english)
        if kind == "category":
            categories.append(Link(slug, name, category_url(slug)))
        else:
            pages.append(Link(slug, name, page_url(slug)))
    order = {slug: place for place, slug in enumerate(FIRST_PAGES)}
    pages.sort(key=lambda page: order.get(page.slug, len(order)))
    return Navigation(tuple(categories), tuple(pages))


@cache
def shelves_and_texts() -> Statement:
    """Prepare the query of the navigation."""
    shelves = Category.objects.annotate(kind=Value("category", CharField())).values(
        "kind", "position", "slug", "name_ja", "name_en"
    )
    texts = ContentPage.objects.annotate(
        kind=Value("page", CharField()), place=Value(0, PositiveSmallIntegerField())
    ).values("kind", "place", "slug", "title_ja", "title_en")
    return prepare(shelves.order_by().union(texts.order_by(), all=True))


def in_other_language(path: str) -> str:
    """Return the address of the same page in the other language."""
    return path.removeprefix("/en") if path.startswith("/en/") else f"/en{path}"


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    private: bool = False,
    navigation: Navigation | None = None,
    canonical: str = "",
) -> HttpResponse:
    """Render a page of the shop.

    A page is rendered without the request, so that nothing of the visitor (session, user, CSRF token) can reach
    it: a public page is the same bytes for everybody. `private` pages are never stored and never indexed.
    `canonical` is the path and query under which search engines shall know the page.
    """
    language = get_language() or settings.LANGUAGE_CODE
    base = settings.STOREFRONT_BASE_URL
    canonical = canonical or request.path
    other = in_other_language(canonical)
    japanese, english = (other, canonical) if language == "en" else (canonical, other)
    # a page that answers a POST has no address of its own to be shown again in the other language
    here_path = request.get_full_path() if request.method == "GET" else request.path
    text = get_template(template).render(
        {
            "navigation": navigation if navigation is not None else load_navigation(),
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
    response = HttpResponse(text, status=status)
    if private:
        add_never_cache_headers(response)
        response["X-Robots-Tag"] = "noindex, nofollow"
    elif status == 200:
        response["Cache-Control"] = PUBLIC_CACHE_CONTROL
    return response
