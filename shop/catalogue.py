"""The catalogue as pages show it: cards of lists, a whole product, the home page; one query each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal

from django.core.files.storage import default_storage
from django.db.models import Case, Exists, F, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.template.loader import get_template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from kikaku.days import business_day
from kikaku.json_rows import JsonRows, rows
from kikaku.money import REDUCED
from ledger.books.tax_rules import read_price_rules, status_rows
from shop.models import (
    Category,
    Picture,
    Product,
    Specification,
    Variant,
    in_language,
    size_name,
    text_chooser,
)
from shop.pages.links import category_url, product_url, variant_url
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
    srcset: str = ""  # of its WebP files; empty if there are none
    raster: str = ""  # URL of a JPEG or the like, for shared links; empty if there is none

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
    bands: tuple[str, ...]  # bands of colour temperature that its variants differ in, warm first
    kinds: int  # variants, if they differ in more than their light; else 0
    option: str = ""  # of the variant that the card shows, in a filtered list
    lumens: int | None = None  # its luminous flux


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
    tax_class: str
    names_rate: bool  # its price says that the tax rate is the reduced one
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
    def lumens_differ(self) -> bool:
        """Return whether the variants have different luminous fluxes."""
        return len({choice.lumens for choice in self.choices}) > 1

    @property
    def rasters(self) -> list[str]:
        """Return the URLs of pictures for search engines and shared links: the shown one first."""
        own = [choice.image for choice in (self.shown, *self.choices) if choice and choice.image]
        return list(dict.fromkeys(image.raster for image in (*own, *self.images) if image.raster))


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
# of a product as its page and the API show it
TEXT_COLUMNS = (
    *CARD_COLUMNS[:-2],
    "description_ja",
    "description_en",
    "category__slug",
    "category__name_ja",
    "category__name_en",
)
MAX_RELATED = 4  # products of the same category on a product's page


def with_card_columns(products: QuerySet[Product], matching: Q | None = None) -> QuerySet[Product, Any]:
    """Return the products with `CARD_COLUMNS` selected; `matching` is what a filter asks of a variant.

    The card of a filtered list shows the first variant that matches, so it needs the pictures of all.
    """
    variants = Variant.objects.on_sale().filter(product=OuterRef("pk")).order_by("price", "id")
    pictures = Picture.objects.filter(product=OuterRef("pk")).order_by("position", "id")
    columns = ["price", "compare_at_price", "kelvin", "stock__on_hand", "stock__reserved"]
    shown = variants
    if matching:
        matches = Case(When(matching, then=Value(1)), default=Value(0), output_field=IntegerField())
        shown = variants.annotate(matches=matches)
        columns += ["matches", "id", "sku", "option_ja", "option_en", "lumens"]
    selected: QuerySet[Product, Any] = products.values(
        *CARD_COLUMNS[:-2],
        pictures_json=JsonRows(
            pictures if matching else pictures[:1],
            *IMAGE_FIELDS,
            *(["variant_id"] if matching else []),
        ),
        variants_json=JsonRows(shown, *columns),
    )
    return selected


def to_card(row: Row) -> Card:
    """Return the card of a row with `CARD_COLUMNS`."""
    slug, title_ja, title_en, lead_spec_ja, lead_spec_en, pictures_json, variants_json = row
    variants = rows(variants_json)
    # a filtered list is about the variants that match
    meant = [v for v in variants if v.get("matches", 1)] or variants
    buyable = [v for v in meant if v["stock__on_hand"] > v["stock__reserved"]]
    shown = buyable or meant  # sold-out variants set the price only if all are sold out
    chosen = shown[0] if len(variants) > 1 and "matches" in shown[0] else None
    kelvins = sorted({v["kelvin"] for v in variants if v["kelvin"]})
    bands = tuple(dict.fromkeys(band(kelvin) for kelvin in kelvins))  # each once
    return Card(
        title=in_language(title_ja, title_en),
        url=variant_url(slug, chosen["sku"]) if chosen else product_url(slug),
        lead_spec=in_language(lead_spec_ja, lead_spec_en),
        image=image_of(rows(pictures_json), chosen["id"] if chosen else None),
        price=shown[0]["price"] if shown else 0,
        more_prices=bool(shown) and shown[0]["price"] != shown[-1]["price"],
        compare_at_price=shown[0]["compare_at_price"] if shown else None,
        stock=stock_state(sum(v["stock__on_hand"] - v["stock__reserved"] for v in meant)),
        bands=bands if len(bands) > 1 else (),
        kinds=len(variants) if len(variants) > max(len(kelvins), 1) else 0,
        option=in_language(chosen["option_ja"], chosen["option_en"]) if chosen else "",
        lumens=chosen["lumens"] if chosen else None,
    )


def render_cards(found: Iterable[Row], *, eager: int = 0) -> list[SafeString]:
    """Return the HTML of cards; the pictures of all but the first `eager` load lazily."""
    language = get_language() or ""
    return [render_card(row, language, place >= eager) for place, row in enumerate(found)]


@lru_cache(maxsize=4096)
def render_card(row: Row, language: str, lazy: bool) -> SafeString:
    """Return the HTML of a card; it depends only on its row and language, so it is rendered once."""
    return SafeString(get_template("shop/card.html").render({"card": to_card(row), "lazy": lazy}))


IMAGE_FIELDS = ("file", "width", "height", "sizes")


def image_of(pictures: Sequence[dict[str, Any]], variant: int | None = None) -> Image | None:
    """Return the picture of a variant, else the first that is not another variant's, else the first.

    A picture has the `IMAGE_FIELDS`, and `variant_id` if a variant is given.
    """
    own = [one for one in pictures if variant and one["variant_id"] == variant]
    shared = [one for one in pictures if not variant or one["variant_id"] is None]
    for one in (*own, *shared, *pictures):
        return Image(
            file_url(one["file"]),
            one["width"],
            one["height"],
            srcset=source_set(one["file"], one["sizes"]),
        )
    return None


@lru_cache(maxsize=4096)
def source_set(name: str, sizes: str) -> str:
    """Return the `srcset` of a picture's WebP files of some widths."""
    return ", ".join(f"{file_url(size_name(name, int(width)))} {width}w" for width in sizes.split())


def raster_url(name: str, raster: str) -> str:
    """Return the URL of a picture that networks and search engines can show; empty for a drawing without."""
    return file_url(raster or name) if raster or not name.endswith(".svg") else ""


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
    """Return the categories with an active product, and cards of `limit` products. One query."""
    found = home_statement(limit).records()
    rooms = [
        HomeCategory(
            name=in_language(row["name_ja"], row["name_en"]),
            room=in_language(row["room_ja"], row["room_en"]),
            url=category_url(row["slug"]),
            image=image_of(rows(row["pictures_json"])),
        )
        for row in found
    ]
    return rooms, render_json_cards(found[0]["cards_json"]) if found else []


@cache
def home_statement(limit: int) -> Statement:
    """Prepare the query of `load_home`: categories with the first picture of their products, and cards."""
    picture = Picture.objects.filter(
        product__category=OuterRef("pk"), product__status=Product.Status.ACTIVE
    ).order_by("product__position", "product_id", "position", "id")[:1]
    goods = Product.objects.filter(status=Product.Status.ACTIVE, category=OuterRef("pk"))
    return prepare(
        Category.objects.filter(Exists(goods))
        .order_by("position", "id")
        .values(
            "slug",
            "name_ja",
            "name_en",
            "room_ja",
            "room_en",
            pictures_json=JsonRows(picture, *IMAGE_FIELDS),
            cards_json=JsonRows(with_card_columns(featured(limit)), *CARD_COLUMNS),
        )
    )


def load_product(slug: str, sku: str = "") -> ProductDetail | None:
    """Return an active or archived product with everything its page shows, with one query.

    The page opens with the variant `sku`; if there is none, with the first in stock.
    """
    found = product_statement().records(slug=slug)
    return to_detail(found[0], sku) if found else None


def specification_rows() -> JsonRows:
    """Return the column with the specifications of a query's product."""
    return JsonRows(
        Specification.objects.filter(product=OuterRef("pk")).order_by("position", "id"),
        *("name_ja", "name_en", "value_ja", "value_en"),
    )


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
            "status",
            *TEXT_COLUMNS,
            variants_json=JsonRows(
                Variant.objects.on_sale().filter(**own).order_by("position", "id"),
                "id",
                "sku",
                "option_ja",
                "option_en",
                "price",
                "compare_at_price",
                "tax_class",
                "kelvin",
                "lumens",
                "stock__on_hand",
                "stock__reserved",
            ),
            pictures_json=JsonRows(
                Picture.objects.filter(**own).order_by("position", "id"),
                *IMAGE_FIELDS,
                "raster",
                "alt_ja",
                "alt_en",
                "variant_id",
            ),
            specifications_json=specification_rows(),
            statuses=status_rows(),
            related_json=JsonRows(
                with_card_columns(others.order_by("position", "id")[:MAX_RELATED]), *CARD_COLUMNS
            ),
        )
    )


def to_detail(found: dict[str, Any], sku: str = "") -> ProductDetail:
    """Return the product of a row; its page opens with the variant `sku`."""
    choose = text_chooser()
    pictures = [
        Image(
            file_url(row["file"]),
            row["width"],
            row["height"],
            choose(row["alt_ja"], row["alt_en"]),
            row["variant_id"],
            source_set(row["file"], row["sizes"]),
            raster_url(row["file"], row["raster"]),
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
        choices=to_choices(
            rows(found["variants_json"]), pictures, sku, is_exempt=is_exempt_today(found["statuses"])
        ),
        images=tuple(picture for picture in pictures if picture.variant is None),
        specifications=tuple(
            (choose(row["name_ja"], row["name_en"]), choose(row["value_ja"], row["value_en"]))
            for row in rows(found["specifications_json"])
        ),
        related=render_json_cards(found["related_json"]),
    )


def is_exempt_today(statuses: str) -> bool:
    """Return whether the merchant is exempt from consumption tax, by the column `status_rows`."""
    rules = read_price_rules(statuses, "[]")
    return bool(rules.statuses) and rules.status_on(business_day(timezone.now())).is_exempt


def to_choices(
    variants: Sequence[dict[str, Any]], pictures: Sequence[Image], sku: str = "", *, is_exempt: bool
) -> tuple[Choice, ...]:
    """Return the variants in their order, each with its picture; `sku` or the first in stock is selected.

    An exempt merchant names no tax rate.
    """
    own = {picture.variant: picture for picture in reversed(pictures)}  # the first of a variant wins
    choose = text_chooser()
    stocks = [row["stock__on_hand"] - row["stock__reserved"] for row in variants]
    asked = (place for place, row in enumerate(variants) if row["sku"] == sku)
    first = next(asked, next((place for place, stock in enumerate(stocks) if stock), 0))
    return tuple(
        Choice(
            place=place + 1,
            shown=place == first,
            sku=row["sku"],
            option=choose(row["option_ja"], row["option_en"]),
            price=row["price"],
            compare_at_price=row["compare_at_price"],
            tax_class=row["tax_class"],
            names_rate=row["tax_class"] == REDUCED and not is_exempt,
            kelvin=row["kelvin"],
            lumens=row["lumens"],
            available=stocks[place],
            image=own.get(row["id"]),
        )
        for place, row in enumerate(variants)
    )
