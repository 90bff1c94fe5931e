"""The catalogue as pages show it: cards of lists, a whole product, the home page; one query each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from django.core.files.storage import default_storage
from django.db.models import F, OuterRef, QuerySet
from django.template.loader import get_template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from shop.json_rows import JsonRows, rows
from shop.models import Category, Picture, Product, Specification, Variant, in_language, text_chooser
from shop.pages.links import category_url, product_url
from shop.pages.statements import Statement, prepare, slot
from shop.scales import band

LOW_STOCK = 5  # pieces; at this number and below the page says how many are left

StockState = Literal["in", "low", "out"]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as a page shows it."""

    url: str
    width: int  # px
    height: int  # px
    alt: str = ""
    variant: int | None = None  # id of the variant it shows; None: all of them

    @property
    def attributes(self) -> SafeString:
        """Return the attributes `src`, `width` and `height` of an `<img>`."""
        return image_attributes(self.url, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Card:
    """A product in a list."""

    title: str
    url: str
    lead_spec: str
    image: Image | None
    price: int  # JPY, the lowest of its variants
    more_prices: bool  # another variant costs more
    compare_at_price: int | None  # JPY, of the cheapest variant
    stock: StockState
    bands: tuple[str, ...]  # bands of colour temperature of its variants, warm first


@dataclass(frozen=True, slots=True)
class Choice:
    """A variant on its product's page.

    The style sheet shows the price and picture of the chosen one by their number `place`, from 1.
    """

    place: int
    shown: bool  # selected when the page opens
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
    def mark(self) -> str:
        """Return its class names in the style sheet."""
        return f"o{self.place} first" if self.shown else f"o{self.place}"

    @property
    def stock(self) -> StockState:
        """Return whether it is in stock, low or out."""
        return stock_state(self.available)

    @property
    def band(self) -> str:
        """Return the band of its colour temperature; empty if it gives no light."""
        return band(self.kelvin) if self.kelvin else ""


@dataclass(frozen=True, slots=True)
class ProductDetail:
    """A product with everything its page shows."""

    slug: str
    url: str
    archived: bool
    title: str
    lead_spec: str
    description: str
    category_name: str
    category_url: str
    choices: tuple[Choice, ...]
    images: tuple[Image, ...]  # for every variant
    specifications: tuple[tuple[str, str], ...]
    related: list[SafeString]  # the first other products of the category, as cards

    @property
    def selected(self) -> Choice | None:
        """Return the variant that is selected when the page opens: the first in stock."""
        return next((choice for choice in self.choices if choice.available), None)

    @property
    def shown(self) -> Choice | None:
        """Return the variant whose price and picture are shown when the page opens, sold out or not."""
        return next((choice for choice in self.choices if choice.shown), None)

    @property
    def own_pictures(self) -> tuple[tuple[str, bool, Image], ...]:
        """Return (class names, whether shown when the page opens, picture) of variants with a picture."""
        return tuple((choice.mark, choice.shown, choice.image) for choice in self.choices if choice.image)

    @property
    def prices_differ(self) -> bool:
        """Return whether the variants have different prices."""
        return len({choice.price for choice in self.choices}) > 1

    @property
    def first_image(self) -> Image | None:
        """Return the picture for search engines and shared links."""
        own = self.shown.image if self.shown else None
        return own or (self.images[0] if self.images else None)


@dataclass(frozen=True, slots=True)
class HomeCategory:
    """A category on the home page."""

    name: str
    room: str
    url: str
    image: Image | None


def stock_state(available: int) -> StockState:
    """Return the state of a stock of `available` pieces."""
    if available < 1:
        return "out"
    return "low" if available <= LOW_STOCK else "in"


Row = tuple[Any, ...]
CARD_COLUMNS = (
    "slug",
    "title_ja",
    "title_en",
    "lead_spec_ja",
    "lead_spec_en",
    "pictures_json",
    "variants_json",
)
MAX_RELATED = 4  # products of the same category on a product's page


def with_card_columns(products: QuerySet[Product]) -> QuerySet[Product, Any]:
    """Return the products with `CARD_COLUMNS` selected."""
    selected: QuerySet[Product, Any] = products.values(
        *CARD_COLUMNS[:-2],
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
    return selected


def to_card(row: Row) -> Card:
    """Return the card of a row with `CARD_COLUMNS`."""
    slug, title_ja, title_en, lead_spec_ja, lead_spec_en, pictures_json, variants_json = row
    variants = rows(variants_json)
    buyable = [v for v in variants if v["stock__on_hand"] > v["stock__reserved"]]
    kelvins = sorted({v["kelvin"] for v in variants if v["kelvin"]})
    shown = buyable or variants  # sold-out variants set the price only if all are sold out
    return Card(
        title=in_language(title_ja, title_en),
        url=product_url(slug),
        lead_spec=in_language(lead_spec_ja, lead_spec_en),
        image=first_image(pictures_json),
        price=shown[0]["price"] if shown else 0,
        more_prices=bool(shown) and shown[0]["price"] != shown[-1]["price"],
        compare_at_price=shown[0]["compare_at_price"] if shown else None,
        stock=stock_state(sum(v["stock__on_hand"] - v["stock__reserved"] for v in variants)),
        bands=tuple(dict.fromkeys(band(kelvin) for kelvin in kelvins)),  # each once
    )


def render_cards(found: Iterable[Row], *, eager: int = 0) -> list[SafeString]:
    """Return the HTML of cards; the pictures of all but the first `eager` load lazily."""
    language = get_language() or ""
    return [render_card(row, language, place >= eager) for place, row in enumerate(found)]


@lru_cache(maxsize=4096)
def render_card(row: Row, language: str, lazy: bool) -> SafeString:
    """Return the HTML of a card; it depends only on its row and language, so it is rendered once."""
    return SafeString(get_template("shop/card.html").render({"card": to_card(row), "lazy": lazy}))


def first_image(text: str) -> Image | None:
    """Return the first of the pictures that `JsonRows` gathered."""
    pictures = rows(text)
    if not pictures:
        return None
    first = pictures[0]
    return Image(file_url(first["file"]), first["width"], first["height"])


@lru_cache(maxsize=4096)
def file_url(name: str) -> str:
    """Return the URL of a public file; cached, since the storage is slow to build it."""
    return default_storage.url(name)


@lru_cache(maxsize=4096)
def image_attributes(url: str, width: int, height: int) -> SafeString:
    """Return URL and size as attributes of an `<img>`."""
    return format_html('src="{}" width="{}" height="{}"', url, width, height)


def render_json_cards(text: str) -> list[SafeString]:
    """Return the HTML of cards whose rows `JsonRows` gathered."""
    return render_cards(tuple(row.values()) for row in rows(text))


def featured_cards(limit: int) -> list[SafeString]:
    """Return cards of products for the home page: those that staff chose, then by position."""
    return render_cards(featured_statement(limit).rows())


@cache
def featured_statement(limit: int) -> Statement:
    """Prepare the query of `featured_cards`."""
    return prepare(with_card_columns(featured(limit)))


def featured(limit: int) -> QuerySet[Product]:
    """Return the products for the home page."""
    products = Product.objects.filter(status=Product.Status.ACTIVE)
    return products.order_by(F("featured").asc(nulls_last=True), "position", "id")[:limit]


def load_home(limit: int) -> tuple[list[HomeCategory], list[SafeString]]:
    """Return the categories with a picture of an active product, and cards of `limit` products. One query."""
    found = home_statement(limit).records()
    rooms = [
        HomeCategory(
            name=in_language(row["name_ja"], row["name_en"]),
            room=in_language(row["room_ja"], row["room_en"]),
            url=category_url(row["slug"]),
            image=first_image(row["pictures_json"]),
        )
        for row in found
        if row["pictures_json"] != "[]"
    ]
    return rooms, render_json_cards(found[0]["cards_json"]) if found else []


@cache
def home_statement(limit: int) -> Statement:
    """Prepare the query of `load_home`: categories with the first picture of their products, and cards."""
    picture = Picture.objects.filter(
        product__category=OuterRef("pk"), product__status=Product.Status.ACTIVE
    ).order_by("product__position", "product_id", "position", "id")[:1]
    return prepare(
        Category.objects.order_by("position", "id").values(
            "slug",
            "name_ja",
            "name_en",
            "room_ja",
            "room_en",
            pictures_json=JsonRows(picture, "file", "width", "height"),
            cards_json=JsonRows(with_card_columns(featured(limit)), *CARD_COLUMNS),
        )
    )


def load_product(slug: str) -> ProductDetail | None:
    """Return an active or archived product with everything its page shows, with one query."""
    found = product_statement().records(slug=slug)
    return to_detail(found[0]) if found else None


@cache
def product_statement() -> Statement:
    """Prepare the query of `load_product`."""
    own = {"product": OuterRef("pk")}
    others = Product.objects.filter(status=Product.Status.ACTIVE, category=OuterRef("category")).exclude(
        pk=OuterRef("pk")
    )
    return prepare(
        Product.objects.filter(
            slug=slot("slug"), status__in=[Product.Status.ACTIVE, Product.Status.ARCHIVED]
        ).values(
            "slug",
            "status",
            "title_ja",
            "title_en",
            "lead_spec_ja",
            "lead_spec_en",
            "description_ja",
            "description_en",
            "category__slug",
            "category__name_ja",
            "category__name_en",
            variants_json=JsonRows(
                Variant.objects.on_sale().filter(**own).order_by("position", "id"),
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
                Picture.objects.filter(**own).order_by("position", "id"),
                "file",
                "width",
                "height",
                "alt_ja",
                "alt_en",
                "variant_id",
            ),
            specifications_json=JsonRows(
                Specification.objects.filter(**own).order_by("position", "id"),
                "name_ja",
                "name_en",
                "value_ja",
                "value_en",
            ),
            related_json=JsonRows(
                with_card_columns(others.order_by("position", "id")[:MAX_RELATED]), *CARD_COLUMNS
            ),
        )
    )


def to_detail(found: dict[str, Any]) -> ProductDetail:
    """Return the product of a row."""
    choose = text_chooser()
    pictures = [
        Image(
            file_url(row["file"]),
            row["width"],
            row["height"],
            choose(row["alt_ja"], row["alt_en"]),
            row["variant_id"],
        )
        for row in rows(found["pictures_json"])
    ]
    return ProductDetail(
        slug=found["slug"],
        url=product_url(found["slug"]),
        archived=found["status"] == Product.Status.ARCHIVED,
        title=choose(found["title_ja"], found["title_en"]),
        lead_spec=choose(found["lead_spec_ja"], found["lead_spec_en"]),
        description=choose(found["description_ja"], found["description_en"]),
        category_name=choose(found["category__name_ja"], found["category__name_en"]),
        category_url=category_url(found["category__slug"]),
        choices=to_choices(rows(found["variants_json"]), pictures),
        images=tuple(picture for picture in pictures if picture.variant is None),
        specifications=tuple(
            (choose(row["name_ja"], row["name_en"]), choose(row["value_ja"], row["value_en"]))
            for row in rows(found["specifications_json"])
        ),
        related=render_json_cards(found["related_json"]),
    )


def to_choices(variants: Sequence[dict[str, Any]], pictures: Sequence[Image]) -> tuple[Choice, ...]:
    """Return the variants in their order, each with its picture; the first in stock is selected."""
    own = {picture.variant: picture for picture in reversed(pictures)}  # the first of a variant wins
    choose = text_chooser()
    stocks = [row["stock__on_hand"] - row["stock__reserved"] for row in variants]
    first = next((place for place, stock in enumerate(stocks) if stock), 0)
    return tuple(
        Choice(
            place=place + 1,
            shown=place == first,
            sku=row["sku"],
            option=choose(row["option_ja"], row["option_en"]),
            price=row["price"],
            compare_at_price=row["compare_at_price"],
            tax_rate=row["tax_rate"],
            kelvin=row["kelvin"],
            lumens=row["lumens"],
            available=stocks[place],
            image=own.get(row["id"]),
        )
        for place, row in enumerate(variants)
    )
