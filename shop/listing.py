"""One page of a product list: filtered, sorted and searched, with one query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import and_
from typing import Any

from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.lookups import GreaterThan, LessThan
from django.utils.safestring import SafeString

from kikaku.json_rows import CountRows
from shop.catalogue import render_cards, with_card_columns
from shop.filters import LIGHTS, PRICES, Filters
from shop.models import Product, Variant
from shop.pages.statements import Statement, prepare, slot
from shop.search_index import END_OF_FACTS, END_OF_NAMES, contains_all, place_of
from shop.words import grams, terms

PAGE_SIZE = 24
NEAR_PRODUCTS = 8  # shown when a search finds nothing
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
    variant = variant_condition(filters)
    if variant:
        products = products.filter(Exists(Variant.objects.on_sale().filter(variant, product=OuterRef("pk"))))
    return products.filter(contains_all(words))


def variant_condition(filters: Filters) -> Q:
    """Return what the filters ask of a variant; false if they ask nothing."""
    variant = Q()
    if filters.light:
        _label, low, high = LIGHTS[filters.light]
        variant &= Q(kelvin__gte=low, kelvin__lte=high)
    if filters.price:
        _label, low, high = PRICES[filters.price]
        variant &= Q(price__gte=low, price__lte=high)
    if filters.in_stock:
        variant &= Q(stock__on_hand__gt=F("stock__reserved"))
    return variant


def rank(words: Sequence[str]) -> Case:
    """Return 0 for products with all words in their names, 1 with all in names and facts, else 2."""
    names, facts = (
        reduce(and_, (Q(LessThan(place_of(word), place_of(end))) for word in words))
        for end in (END_OF_NAMES, END_OF_FACTS)
    )
    return Case(
        When(names, then=Value(0)),
        When(facts, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )


def ordered(products: QuerySet[Product], sort: str, words: Sequence[str], variant: Q) -> QuerySet[Product]:
    """Return the products in the chosen order; a search has hits in the names first.

    A price is the lowest of the variants that match the filters (`variant`).
    """
    if sort in ("price", "-price"):
        lowest = (
            Variant.objects.on_sale()
            .filter(variant, product=OuterRef("pk"))
            .order_by("price")
            .values("price")[:1]
        )
        products = products.annotate(lowest_price=Subquery(lowest))
        key = F("lowest_price")
        by_price = key.asc(nulls_last=True) if sort == "price" else key.desc(nulls_last=True)
        return products.order_by(by_price, "position", "id")
    if sort == "new":
        return products.order_by("-created_at", "-id")
    if words:
        return products.annotate(rank=rank(words)).order_by("rank", "position", "id")
    return products.order_by("position", "id")


def load_listing(filters: Filters, *, page: int) -> Listing:
    """Return one page of a list, with one query.

    Raises:
        NoSuchPage: the page is after the last one.
    """
    words = terms(filters.query)
    texts = {f"word{place}": word for place, word in enumerate(words)}
    if filters.query and not words:  # signs that no text has
        return Listing([], 0, 1, 1)
    with_slots = replace(filters, query="", category=slot("category") if filters.category else "")
    rows = listing_statement(with_slots, len(words), page).rows(category=filters.category, **texts)
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
def listing_statement(filters: Filters, words: int, page: int) -> Statement:
    """Prepare the query of a page of a list; `filters` has a slot for the category, each word has one.

    The inner query finds the ids of the page, the outer one gathers variants and pictures of these.
    """
    slots = [slot(f"word{place}") for place in range(words)]
    products = matching(filters, slots)
    start = (page - 1) * PAGE_SIZE
    variant = variant_condition(filters)
    ids = ordered(products, filters.sort, slots, variant).values("pk")[start : start + PAGE_SIZE]
    shown = ordered(Product.objects.filter(pk__in=ids), filters.sort, slots, variant)
    return prepare(with_card_columns(shown, variant).annotate(count=CountRows(products)))


def load_near(query: str) -> list[SafeString]:
    """Return cards of the products that have most of a query, for a search without a hit; with one query.

    Where they have nothing of it, they are those of the home page.
    """
    found = grams(query)
    texts = {f"gram{place}": gram for place, gram in enumerate(found)}
    return render_cards(near_statement(len(found)).rows(**texts), eager=EAGER_CARDS)


@lru_cache(maxsize=64)
def near_statement(count: int) -> Statement:
    """Prepare the query of `load_near` for a number of grams: one in the names counts twice."""
    places = [place_of(slot(f"gram{place}")) for place in range(count)]
    score: Any = Value(0)
    for place in places:
        score += Case(
            When(LessThan(Value(0), place) & LessThan(place, place_of(END_OF_NAMES)), then=Value(2)),
            When(GreaterThan(place, 0), then=Value(1)),
            default=Value(0),
            output_field=IntegerField(),
        )
    products = Product.objects.filter(status=Product.Status.ACTIVE).annotate(score=score)
    nearest = products.order_by("-score", F("featured").asc(nulls_last=True), "position", "id")
    return prepare(with_card_columns(nearest[:NEAR_PRODUCTS]))
