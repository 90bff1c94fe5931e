"""One page of a product list, filtered, sorted and searched, with one query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import and_

from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.safestring import SafeString

from shop.catalogue import cards, with_card_columns
from shop.filters import LIGHTS, PRICES, Filters
from shop.json_rows import CountRows
from shop.models import Product, Variant
from shop.pages.statements import Statement, prepare, slot

PAGE_SIZE = 24
QUERY_WORDS = 5
EAGER = 4  # cards whose pictures load at once: the first row of a wide window


@dataclass(frozen=True, slots=True)
class Shelf:
    """One page of a list."""

    cards: list[SafeString]
    count: int
    page: int  # from 1
    pages: int


class NoSuchPage(Exception):
    """The list has fewer pages."""


def matching(filters: Filters, found: Sequence[str]) -> QuerySet[Product]:
    """Return the active products that `filters` ask for and that contain all words of `found`, unordered."""
    products = Product.objects.filter(status=Product.Status.ACTIVE)
    if filters.category:
        products = products.filter(category__slug=filters.category)
    variant = Q()
    if filters.light:
        _label, low, high = LIGHTS[filters.light]
        variant &= Q(kelvin__gte=low, kelvin__lte=high)
    if filters.price:
        _label, low, high = PRICES[filters.price]
        variant &= Q(price__gte=low, price__lte=high)
    if filters.in_stock:
        variant &= Q(stock__on_hand__gt=F("stock__reserved"))
    if variant:
        products = products.filter(Exists(Variant.objects.on_sale().filter(variant, product=OuterRef("pk"))))
    for word in found:
        products = products.filter(
            in_title(word)
            | Q(lead_spec_ja__icontains=word)
            | Q(lead_spec_en__icontains=word)
            | Q(description_ja__icontains=word)
            | Q(description_en__icontains=word)
            | Q(category__name_ja__icontains=word)
            | Q(category__name_en__icontains=word)
            | Exists(Variant.objects.on_sale().filter(product=OuterRef("pk"), sku__icontains=word))
        )
    return products


def words(query: str) -> list[str]:
    """Split a normalised query into the words that must all be found."""
    return query.split()[:QUERY_WORDS]


def in_title(word: str) -> Q:
    """Find `word` in either title."""
    return Q(title_ja__icontains=word) | Q(title_en__icontains=word)


def ordered(products: QuerySet[Product], sort: str, found: Sequence[str]) -> QuerySet[Product]:
    """Sort as the visitor chose; a search puts hits in the title first."""
    if sort in ("price", "-price"):
        lowest = (
            Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by("price").values("price")[:1]
        )
        products = products.annotate(lowest_price=Subquery(lowest))
        key = F("lowest_price")
        by_price = key.asc(nulls_last=True) if sort == "price" else key.desc(nulls_last=True)
        return products.order_by(by_price, "position", "id")
    if sort == "new":
        return products.order_by("-created_at", "-id")
    if found:
        hit = reduce(and_, map(in_title, found))
        rank = Case(When(hit, then=Value(0)), default=Value(1), output_field=IntegerField())
        return products.annotate(rank=rank).order_by("rank", "position", "id")
    return products.order_by("position", "id")


def shelf(filters: Filters, *, page: int) -> Shelf:
    """Return one page of the list, in one query.

    Raises:
        NoSuchPage: the list has fewer pages.
    """
    texts = {f"word{place}": word for place, word in enumerate(words(filters.query))}
    asked = replace(
        filters, query=" ".join(map(slot, texts)), category=slot("category") if filters.category else ""
    )
    found = page_of(asked, page).rows(category=filters.category, **texts)
    if not found and page > 1:
        raise NoSuchPage
    count: int = found[0][-1] if found else 0
    return Shelf(cards((row[:-1] for row in found), eager=EAGER), count, page, max(1, -(-count // PAGE_SIZE)))


@lru_cache(maxsize=256)
def page_of(filters: Filters, page: int) -> Statement:
    """Prepare the query of a page of a list; `filters` has slots for the words and the category.

    The inner query finds the page's ids, the outer one gathers variants and pictures for these alone.
    """
    found = words(filters.query)
    products = matching(filters, found)
    start = (page - 1) * PAGE_SIZE
    ids = ordered(products, filters.sort, found).values("pk")[start : start + PAGE_SIZE]
    shown = ordered(Product.objects.filter(pk__in=ids), filters.sort, found)
    return prepare(with_card_columns(shown).annotate(count=CountRows(products)))
