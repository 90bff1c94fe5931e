"""Read the catalogue: cards for lists, the whole of one product, rooms for the home page; one query each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.core.files.storage import default_storage
from django.db.models import F, OuterRef, QuerySet

from shop.json_rows import JsonRows, rows
from shop.layout import category_url, product_url
from shop.models import Category, Picture, Product, Specification, Variant, in_language
from shop.scales import band

LOW_STOCK = 5  # pieces from which on the page says how many are left

StockState = Literal["in", "low", "out"]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as a page shows it."""

    url: str
    width: int  # px
    height: int  # px
    alt: str = ""
    variant: int | None = None  # id of the variant it shows; None: all of them


@dataclass(frozen=True, slots=True)
class Card:
    """A product in a list."""

    title: str
    url: str
    lead_spec: str
    image: Image | None
    price: int  # JPY, the lowest of its variants
    more_prices: bool  # some variant costs more
    compare_at_price: int | None  # JPY, of the cheapest variant
    stock: StockState
    bands: tuple[str, ...]  # the colours of light on offer, warm first


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant on its product's page; `place` counts from 1 and ties it to price and picture in the style sheet."""

    id: int
    place: int
    sku: str
    option: str
    price: int  # JPY, tax included
    compare_at_price: int | None
    tax_rate: int
    kelvin: int | None
    lumens: int | None
    available: int
    image: Image | None

    @property
    def stock(self) -> StockState:
        """Say whether it can be had."""
        return stock_state(self.available)

    @property
    def band(self) -> str:
        """Name the band of its colour temperature, empty when it gives no light."""
        return band(self.kelvin) if self.kelvin else ""


@dataclass(frozen=True, slots=True)
class ProductDetail:
    """A product with everything its page shows."""

    id: int
    slug: str
    url: str
    archived: bool
    title: str
    lead_spec: str
    description: str
    category_id: int
    category_name: str
    category_url: str
    choices: tuple[Choice, ...]
    images: tuple[Image, ...]  # for every variant
    specifications: tuple[tuple[str, str], ...]

    @property
    def selected(self) -> Choice | None:
        """Return the variant that is chosen when the page opens: the first that can be had."""
        return next((choice for choice in self.choices if choice.available), None)

    @property
    def shown(self) -> Choice | None:
        """Return the variant whose price and picture are shown first, sold out or not."""
        return self.selected or (self.choices[0] if self.choices else None)

    @property
    def prices_differ(self) -> bool:
        """Say whether the choice changes the price."""
        return len({choice.price for choice in self.choices}) > 1

    @property
    def first_image(self) -> Image | None:
        """Return the picture for search engines and shared links."""
        own = self.shown.image if self.shown else None
        return own or (self.images[0] if self.images else None)


@dataclass(frozen=True, slots=True)
class Room:
    """A category on the home page."""

    name: str
    room: str
    url: str
    image: Image | None


def stock_state(available: int) -> StockState:
    """Say in one word whether `available` pieces are plenty."""
    if available < 1:
        return "out"
    return "low" if available <= LOW_STOCK else "in"


def with_card_columns(products: QuerySet[Product]) -> QuerySet[Product, Any]:
    """Add to a list of products what their cards show."""
    return products.values(
        "slug",
        "title_ja",
        "title_en",
        "lead_spec_ja",
        "lead_spec_en",
        pictures_json=JsonRows(
            Picture.objects.filter(product=OuterRef("pk")).order_by("position", "id")[:1],
            "file",
            "width",
            "height",
        ),
        variants_json=JsonRows(
            Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by("price", "id"),
            "price",
            "compare_at_price",
            "kelvin",
            "stock__on_hand",
            "stock__reserved",
        ),
    )


def card(row: dict[str, Any]) -> Card:
    """Make a card of a row with `with_card_columns`."""
    variants = rows(row["variants_json"])
    buyable = [v for v in variants if v["stock__on_hand"] > v["stock__reserved"]]
    shown = buyable or variants  # a price nobody can pay is no price, unless all is sold out
    return Card(
        title=in_language(row["title_ja"], row["title_en"]),
        url=product_url(row["slug"]),
        lead_spec=in_language(row["lead_spec_ja"], row["lead_spec_en"]),
        image=first_image(row["pictures_json"]),
        price=shown[0]["price"] if shown else 0,
        more_prices=bool(shown) and shown[0]["price"] != shown[-1]["price"],
        compare_at_price=shown[0]["compare_at_price"] if shown else None,
        stock=stock_state(sum(v["stock__on_hand"] - v["stock__reserved"] for v in variants)),
        bands=tuple(dict.fromkeys(band(k) for k in sorted({v["kelvin"] for v in variants if v["kelvin"]}))),
    )


def first_image(text: str) -> Image | None:
    """Return the first of the pictures that `JsonRows` gathered."""
    for picture in rows(text)[:1]:
        return Image(default_storage.url(picture["file"]), picture["width"], picture["height"])
    return None


def featured_cards(limit: int) -> list[Card]:
    """Return the products for the home page: those that staff put there, then the first of the shelves."""
    products = Product.objects.filter(status=Product.Status.ACTIVE)
    chosen = products.order_by(F("featured").asc(nulls_last=True), "position", "id")[:limit]
    return [card(row) for row in with_card_columns(chosen)]


def related_cards(*, category_id: int, but: int, limit: int) -> list[Card]:
    """Return the first other products of a category."""
    products = Product.objects.filter(status=Product.Status.ACTIVE, category_id=category_id).exclude(pk=but)
    return [card(row) for row in with_card_columns(products.order_by("position", "id")[:limit])]


def rooms() -> list[Room]:
    """Return the categories that have something to sell, with the picture of their first product."""
    found = Category.objects.order_by("position", "id").values(
        "slug",
        "name_ja",
        "name_en",
        "room_ja",
        "room_en",
        pictures_json=JsonRows(
            Picture.objects.filter(
                product__category=OuterRef("pk"), product__status=Product.Status.ACTIVE
            ).order_by("product__position", "product_id", "position", "id")[:1],
            "file",
            "width",
            "height",
        ),
    )
    return [
        Room(
            name=in_language(row["name_ja"], row["name_en"]),
            room=in_language(row["room_ja"], row["room_en"]),
            url=category_url(row["slug"]),
            image=first_image(row["pictures_json"]),
        )
        for row in found
        if row["pictures_json"] != "[]"
    ]


def product_detail(slug: str) -> ProductDetail | None:
    """Return an active or archived product with category, variants, stock, pictures and specifications."""
    found = (
        Product.objects.filter(slug=slug, status__in=[Product.Status.ACTIVE, Product.Status.ARCHIVED])
        .values(
            "id",
            "slug",
            "status",
            "title_ja",
            "title_en",
            "lead_spec_ja",
            "lead_spec_en",
            "description_ja",
            "description_en",
            "category_id",
            "category__slug",
            "category__name_ja",
            "category__name_en",
            variants_json=JsonRows(
                Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by("position", "id"),
                "id",
                "sku",
                "option_ja",
                "option_en",
                "price",
                "compare_at_price",
                "tax_rate",
                "kelvin",
                "lumens",
                "stock__on_hand",
                "stock__reserved",
            ),
            pictures_json=JsonRows(
                Picture.objects.filter(product=OuterRef("pk")).order_by("position", "id"),
                "file",
                "width",
                "height",
                "alt_ja",
                "alt_en",
                "variant_id",
            ),
            specifications_json=JsonRows(
                Specification.objects.filter(product=OuterRef("pk")).order_by("position", "id"),
                "name_ja",
                "name_en",
                "value_ja",
                "value_en",
            ),
        )
        .first()
    )
    if found is None:
        return None
    pictures = [
        Image(
            default_storage.url(row["file"]),
            row["width"],
            row["height"],
            in_language(row["alt_ja"], row["alt_en"]),
            row["variant_id"],
        )
        for row in rows(found["pictures_json"])
    ]
    return ProductDetail(
        id=found["id"],
        slug=found["slug"],
        url=product_url(found["slug"]),
        archived=found["status"] == Product.Status.ARCHIVED,
        title=in_language(found["title_ja"], found["title_en"]),
        lead_spec=in_language(found["lead_spec_ja"], found["lead_spec_en"]),
        description=in_language(found["description_ja"], found["description_en"]),
        category_id=found["category_id"],
        category_name=in_language(found["category__name_ja"], found["category__name_en"]),
        category_url=category_url(found["category__slug"]),
        choices=choices(rows(found["variants_json"]), pictures),
        images=tuple(picture for picture in pictures if picture.variant is None),
        specifications=tuple(
            (in_language(row["name_ja"], row["name_en"]), in_language(row["value_ja"], row["value_en"]))
            for row in rows(found["specifications_json"])
        ),
    )


def choices(variants: Sequence[dict[str, Any]], pictures: Sequence[Image]) -> tuple[Choice, ...]:
    """Number the variants and give each its picture."""
    own = {picture.variant: picture for picture in reversed(pictures)}
    return tuple(
        Choice(
            id=row["id"],
            place=place,
            sku=row["sku"],
            option=in_language(row["option_ja"], row["option_en"]),
            price=row["price"],
            compare_at_price=row["compare_at_price"],
            tax_rate=row["tax_rate"],
            kelvin=row["kelvin"],
            lumens=row["lumens"],
            available=row["stock__on_hand"] - row["stock__reserved"],
            image=own.get(row["id"]),
        )
        for place, row in enumerate(variants, start=1)
    )
