"""The links in the header and the footer of every page: the categories and the texts."""

from dataclasses import dataclass
from functools import cache, lru_cache

from django.db.models import CharField, PositiveSmallIntegerField, Value
from django.utils.translation import get_language

from shop.models import Category, ContentPage, chooser
from shop.pages.links import category_url, page_url
from shop.pages.statements import Statement, prepare
from shop.pages.version import rendered_at

# The law and the customer look for these first; further pages of the admin follow.
FIRST_PAGES = ("shipping", "returns", "faq", "tokushoho", "privacy", "terms")


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
