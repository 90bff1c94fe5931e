"""The quote: what a cart costs now, by the catalogue alone, and what stands in the way of ordering it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache

from django.conf import settings
from django.db.models import OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kikaku.money import MAX_CHARGE
from ledger.books import tax
from shop.cart import MAX_LINES, CartLine
from shop.catalogue import Image, first_image
from shop.json_rows import JsonRows
from shop.models import Picture, Product, Variant, in_language
from shop.pages.links import product_url
from shop.pages.statements import Statement, prepare, slot


@dataclass(frozen=True, slots=True)
class Offer:
    """What the catalogue says about a SKU now."""

    item_id: int  # of ledger.StockItem
    sku: str
    title: str  # in the active language
    option: str
    url: str
    image: Image | None
    price: int  # JPY, tax included
    tax_rate: int  # 10 or 8
    available: int

    @property
    def full_title(self) -> str:
        """Title with the option, as it goes into the order."""
        if not self.option:
            return self.title
        return in_language(f"{self.title}（{self.option}）", f"{self.title} ({self.option})")


class Kind(StrEnum):
    """What can be wrong with a cart."""

    UNKNOWN = "unknown"  # no longer in the catalogue
    SOLD_OUT = "sold_out"
    TOO_MANY = "too_many"  # more than there are
    PRICE_CHANGED = "price_changed"  # does not stand in the way
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the customer should know; `message` says what happened and what to do."""

    kind: Kind
    sku: str
    message: str

    @property
    def blocks(self) -> bool:
        """Say whether it stands in the way of ordering."""
        return self.kind is not Kind.PRICE_CHANGED


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """A line of the cart with what it costs now."""

    offer: Offer
    quantity: int
    price_seen: int
    problems: tuple[Problem, ...]

    @property
    def amount(self) -> int:
        """Price × quantity, JPY."""
        return self.offer.price * self.quantity

    @property
    def counted(self) -> bool:
        """Say whether the line is part of the totals: what is sold out is not."""
        return self.offer.available > 0


@dataclass(frozen=True, slots=True)
class Quote:
    """What a cart costs: lines, totals with tax per rate, and what stands in the way."""

    lines: tuple[QuoteLine, ...]
    problems: tuple[Problem, ...]
    totals: tax.Totals

    @property
    def counted(self) -> tuple[QuoteLine, ...]:
        """The lines that are part of the totals."""
        return tuple(line for line in self.lines if line.counted)

    @property
    def pieces(self) -> int:
        """Number of pieces that count."""
        return sum(line.quantity for line in self.counted)

    @property
    def orderable(self) -> bool:
        """Say whether this can be ordered as it stands."""
        return bool(self.counted) and not any(problem.blocks for problem in self.problems)

    @property
    def has_reduced_rate(self) -> bool:
        """Say whether goods at the reduced rate are in it, which carry the ※ mark."""
        return any(line.offer.tax_rate == tax.REDUCED for line in self.counted)

    @property
    def taxes(self) -> list[tuple[int, int, int]]:
        """Rate, gross and contained tax of each rate that occurs."""
        return [(rate, gross, self.totals.taxes[rate]) for rate, gross in self.totals.gross_by_rate.items()]

    @property
    def missing_for_free_shipping(self) -> int:
        """JPY of goods until shipping is free; 0 when it is."""
        goods = self.totals.goods_total - self.totals.discount
        return max(settings.FREE_SHIPPING_FROM - goods, 0) if self.totals.shipping_fee else 0

    @property
    def fingerprint(self) -> str:
        """Stand for exactly this quote: it changes when price, quantity, rate, shipping or discount do."""
        parts = [
            [[line.offer.sku, line.quantity, line.offer.price, line.offer.tax_rate] for line in self.counted],
            self.totals.discount,
            self.totals.shipping_fee,
            self.totals.total,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def load_offers(skus: Iterable[str]) -> dict[str, Offer]:
    """Read what the catalogue says about `skus` with one query; what is not for sale is left out."""
    wanted = {f"sku{place}": sku for place, sku in enumerate(sorted(set(skus)))}
    if not wanted:
        return {}
    return {
        row["sku"]: Offer(
            item_id=row["stock_id"],
            sku=row["sku"],
            title=in_language(row["product__title_ja"], row["product__title_en"]),
            option=in_language(row["option_ja"], row["option_en"]),
            url=product_url(row["product__slug"]),
            image=first_image(row["own_json"]) or first_image(row["general_json"]),
            price=row["price"],
            tax_rate=row["tax_rate"],
            available=max(row["stock__on_hand"] - row["stock__reserved"], 0),
        )
        for row in offers(len(wanted)).records(**wanted)
    }


@lru_cache(maxsize=MAX_LINES)
def offers(count: int) -> Statement:
    """Prepare the query of `load_offers` for so many SKUs."""
    own = Picture.objects.filter(variant=OuterRef("pk")).order_by("position", "id")[:1]
    general = Picture.objects.filter(product=OuterRef("product"), variant=None).order_by("position", "id")[:1]
    return prepare(
        Variant.objects.on_sale()
        .filter(
            sku__in=[slot(f"sku{place}") for place in range(count)], product__status=Product.Status.ACTIVE
        )
        .values(
            "sku",
            "stock_id",
            "option_ja",
            "option_en",
            "price",
            "tax_rate",
            "stock__on_hand",
            "stock__reserved",
            "product__slug",
            "product__title_ja",
            "product__title_en",
            own_json=JsonRows(own, "file", "width", "height"),
            general_json=JsonRows(general, "file", "width", "height"),
        )
    )


def price_of(sku: str) -> int | None:
    """Return the price (JPY) of a SKU; None when it is not for sale."""
    return next((price for (price,) in price_query().rows(sku=sku)), None)


@cache
def price_query() -> Statement:
    """Prepare the query of `price_of`."""
    variants = Variant.objects.on_sale().filter(sku=slot("sku"), product__status=Product.Status.ACTIVE)
    return prepare(variants.values("price"))


def shipping_fee(goods: int) -> int:
    """Return the shipping fee (JPY) for goods worth `goods` after the discount; nothing to ship costs nothing."""
    return 0 if goods == 0 or goods >= settings.FREE_SHIPPING_FROM else settings.SHIPPING_FEE


def quote(wanted: Sequence[CartLine], offers: Mapping[str, Offer], *, discount: int = 0) -> Quote:
    """Price a cart by the catalogue alone; pure.

    `discount` (JPY) is spread over the lines by value and never exceeds the goods.
    """
    lines: list[QuoteLine] = []
    problems: list[Problem] = []
    for entry in wanted:
        offer = offers.get(entry.sku)
        if offer is None:
            problems.append(unknown(entry.sku))
            continue
        own = line_problems(entry, offer)
        problems += own
        lines.append(QuoteLine(offer, entry.quantity, entry.price_seen, tuple(own)))
    amounts = [(line.amount, line.offer.tax_rate) for line in lines if line.counted]
    goods = sum(amount for amount, _rate in amounts)
    discount = min(discount, goods)
    totals = tax.totals(amounts, discount=discount, shipping_fee=shipping_fee(goods - discount))
    if amounts and totals.total < settings.ORDER_MINIMUM:
        text = _("Orders are possible from ¥%(minimum)s. Please add something.")
        problems.append(Problem(Kind.BELOW_MINIMUM, "", text % {"minimum": settings.ORDER_MINIMUM}))
    # a total of what is not there says nothing
    too_many = any(problem.kind is Kind.TOO_MANY for problem in problems)
    if totals.total > MAX_CHARGE and not too_many:
        text = _(
            "This is more than one card payment can carry (¥99,999,999). Please contact us for an offer."
        )
        problems.append(Problem(Kind.ABOVE_MAXIMUM, "", text))
    return Quote(tuple(lines), tuple(problems), totals)


def unknown(sku: str) -> Problem:
    """Say that a SKU is not for sale."""
    text = _("The item %(sku)s is no longer sold. We took it out of your cart.")
    return Problem(Kind.UNKNOWN, sku, text % {"sku": sku})


def line_problems(entry: CartLine, offer: Offer) -> list[Problem]:
    """Compare what is wanted with what there is."""
    found: list[Problem] = []
    if offer.available < 1:
        text = _("“%(title)s” is sold out. Please remove it to go on; the rest of your cart stays.")
        found.append(Problem(Kind.SOLD_OUT, offer.sku, text % {"title": offer.full_title}))
    elif entry.quantity > offer.available:
        text = ngettext(
            "Only %(available)s of “%(title)s” is left. Please change the quantity.",
            "Only %(available)s of “%(title)s” are left. Please change the quantity.",
            offer.available,
        )
        values = {"title": offer.full_title, "available": offer.available}
        found.append(Problem(Kind.TOO_MANY, offer.sku, text % values))
    if entry.price_seen != offer.price:
        text = _("The price of “%(title)s” changed from ¥%(before)s to ¥%(now)s since you put it in.")
        values = {
            "title": offer.full_title,
            "before": f"{entry.price_seen:,}",
            "now": f"{offer.price:,}",
        }
        found.append(Problem(Kind.PRICE_CHANGED, offer.sku, text % values))
    return found
