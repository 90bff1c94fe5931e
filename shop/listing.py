"""One page of a product list: filtered, sorted and searched, with one query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import and_

from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.safestring import SafeString

from shop.catalogue import render_cards, with_card_columns
from shop.filters import LIGHTS, PRICES, Filters
from shop.json_rows import CountRows
from shop.models import Product, Variant
from shop.pages.statements import Statement, prepare, slot

PAGE_SIZE = 24
MAX_QUERY_WORDS = 5
EAGER_CARDS = 4  # cards whose pictures load at once: the first row of a wide screen


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list."""

    cards: list[SafeString]
    count: int
    page: int  # from 1
    pages: int


class NoSuchPage(Exception):
    """The requested page is after the last one."""


def matching(filters: Filters, words: Sequence[str]) -> QuerySet[Product]:
    """Return the active products that match `filters` and contain all `words`, unordered."""
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
    for word in words:
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


def search_words(query: str) -> list[str]:
    """Return the words of a normalised query; all of them must be found."""
    return query.split()[:MAX_QUERY_WORDS]


def in_title(word: str) -> Q:
    """Return the condition that one of the titles contains `word`."""
    return Q(title_ja__icontains=word) | Q(title_en__icontains=word)


def ordered(products: QuerySet[Product], sort: str, words: Sequence[str]) -> QuerySet[Product]:
    """Return the products in the chosen order; a search has hits in the title first."""
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
    if words:
        hit = reduce(and_, map(in_title, words))
        rank = Case(When(hit, then=Value(0)), default=Value(1), output_field=IntegerField())
        return products.annotate(rank=rank).order_by("rank", "position", "id")
    return products.order_by("position", "id")


def load_listing(filters: Filters, *, page: int) -> Listing:
    """Return one page of a list, with one query.

    Raises:
        NoSuchPage: the page is after the last one.
    """
    texts = {f"word{place}": word for place, word in enumerate(search_words(filters.query))}
    with_slots = replace(
        filters, query=" ".join(map(slot, texts)), category=slot("category") if filters.category else ""
    )
    rows = listing_statement(with_slots, page).rows(category=filters.category, **texts)
    if not rows and page > 1:
        raise NoSuchPage
    count: int = rows[0][-1] if rows else 0
    return Listing(
        render_cards((row[:-1] for row in rows), eager=EAGER_CARDS),
        count,
        page,
        max(1, -(-count // PAGE_SIZE)),
    )


@lru_cache(maxsize=256)
def listing_statement(filters: Filters, page: int) -> Statement:
    """Prepare the query of a page of a list; `filters` has slots for the words and the category.

    The inner query finds the ids of the page, the outer one gathers variants and pictures of these.
    """
    words = search_words(filters.query)
    products = matching(filters, words)
    start = (page - 1) * PAGE_SIZE
    ids = ordered(products, filters.sort, words).values("pk")[start : start + PAGE_SIZE]
    shown = ordered(Product.objects.filter(pk__in=ids), filters.sort, words)
    return prepare(with_card_columns(shown).annotate(count=CountRows(products)))
