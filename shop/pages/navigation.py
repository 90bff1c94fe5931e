"""The links in the header and the footer of every page: the categories and the content pages."""

from dataclasses import dataclass
from functools import cache, lru_cache

from django.db.models import CharField, PositiveSmallIntegerField, Value
from django.utils.translation import get_language

from shop.models import Category, ContentPage, text_chooser
from shop.pages.links import category_url, page_url
from shop.pages.statements import Statement, prepare
from shop.pages.version import rendering_version

# Required by law, or looked for most; the other content pages follow.
FIRST_PAGES = ("shipping", "returns", "faq", "tokushoho", "privacy", "terms")


@dataclass(frozen=True, slots=True)
class Link:
    """A link in the navigation."""

    slug: str
    name: str  # in the active language
    url: str


@dataclass(frozen=True, slots=True)
class Navigation:
    """The categories in the header and the content pages in the footer."""

    categories: tuple[Link, ...]
    pages: tuple[Link, ...]

    @property
    def page_by_slug(self) -> dict[str, Link]:
        """Return slug → link of the content pages."""
        return {page.slug: page for page in self.pages}


def load_navigation() -> Navigation:
    """Return the navigation in the active language.

    It takes one query, unless the page store renders the page: then it is kept for each version of the
    navigation.
    """
    version = rendering_version.get()
    return read_navigation() if version is None else navigation_of_version(version.navigation, get_language())


@lru_cache(maxsize=4)
def navigation_of_version(version: str, language: str | None) -> Navigation:
    """Return the navigation of a version, read once."""
    return read_navigation()


def read_navigation() -> Navigation:
    """Return the navigation, read with one query."""
    categories: list[Link] = []
    pages: list[Link] = []
    choose = text_chooser()
    for kind, _place, slug, japanese, english in sorted(navigation_statement().rows()):
        name = choose(japanese, english)
        if kind == "category":
            categories.append(Link(slug, name, category_url(slug)))
        else:
            pages.append(Link(slug, name, page_url(slug)))
    order = {slug: place for place, slug in enumerate(FIRST_PAGES)}
    pages.sort(key=lambda page: order.get(page.slug, len(order)))
    return Navigation(tuple(categories), tuple(pages))


@cache
def navigation_statement() -> Statement:
    """Prepare the query of the navigation."""
    categories = Category.objects.annotate(kind=Value("category", CharField())).values(
        "kind", "position", "slug", "name_ja", "name_en"
    )
    pages = ContentPage.objects.annotate(
        kind=Value("page", CharField()), place=Value(0, PositiveSmallIntegerField())
    ).values("kind", "place", "slug", "title_ja", "title_en")
    return prepare(categories.order_by().union(pages.order_by(), all=True))
