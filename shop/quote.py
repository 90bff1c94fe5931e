"""The quote: what a cart costs by the current catalogue, and the problems that prevent ordering it."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any

from django.conf import settings
from django.db.models import OuterRef
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kikaku.days import business_day
from kikaku.json_rows import JsonRows, rows
from kikaku.money import MAX_CHARGE, REDUCED, TAX_CLASSES
from ledger.books import tax
from ledger.books.tax_rules import OrderTax, TaxStatusMissing, rate_rows, read_price_rules, status_rows
from shop.cart import MAX_LINES, Cart, CartLine
from shop.catalogue import IMAGE_FIELDS, LOW_STOCK, Image, image_of
from shop.models import Picture, Product, Variant, in_language
from shop.pages.links import product_url
from shop.pages.statements import Statement, prepare, slot

NO_TAX = OrderTax(dict.fromkeys(TAX_CLASSES), "down")


@dataclass(frozen=True, slots=True)
class Offer:
    """A SKU as the catalogue has it now."""

    item_id: int  # of ledger.StockItem
    sku: str
    title: str  # in the active language
    option: str
    url: str
    image: Image | None
    price: int  # JPY, tax included
    tax_class: str  # a value of `ledger.models.tax.TaxClass`
    available: int
    full_title_ja: str = ""  # for those who pack
    tax: OrderTax | None = None  # of an order that is placed now; None: the shop takes none yet

    @property
    def full_title(self) -> str:
        """Return the title with the option, as the order line has it."""
        return full_title(self.title, self.option)


class ProblemKind(StrEnum):
    """The kinds of problems of a cart."""

    UNKNOWN = "unknown"  # no longer in the catalogue
    SOLD_OUT = "sold_out"
    TOO_MANY = "too_many"  # more than available
    PRICE_CHANGED = "price_changed"  # the only one that does not prevent ordering
    BELOW_MINIMUM = "below_minimum"
    ABOVE_MAXIMUM = "above_maximum"
    CLOSED = "closed"  # the merchant has not entered what orders need


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a cart; `message` tells the customer what happened and what to do."""

    kind: ProblemKind
    sku: str
    message: str

    @property
    def blocks_order(self) -> bool:
        """Return whether it prevents ordering."""
        return self.kind is not ProblemKind.PRICE_CHANGED


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """A line of the cart with its current price."""

    offer: Offer
    quantity: int
    price_seen: int
    problems: tuple[Problem, ...]

    @property
    def amount(self) -> int:
        """Return price × quantity in JPY."""
        return self.offer.price * self.quantity

    @property
    def is_counted(self) -> bool:
        """Return whether the line is part of the totals: it is unless it is sold out."""
        return self.offer.available > 0


@dataclass(frozen=True, slots=True)
class Quote:
    """What a cart costs: lines, totals with tax by rate, and problems."""

    lines: tuple[QuoteLine, ...]
    problems: tuple[Problem, ...]
    totals: tax.Totals
    rates: Mapping[str, int | None]  # percent of tax by class; None: exempt

    @property
    def counted_lines(self) -> tuple[QuoteLine, ...]:
        """Return the lines that are part of the totals."""
        return tuple(line for line in self.lines if line.is_counted)

    @property
    def pieces(self) -> int:
        """Return the number of pieces of the counted lines."""
        return sum(line.quantity for line in self.counted_lines)

    @property
    def is_orderable(self) -> bool:
        """Return whether the cart can be ordered."""
        return bool(self.counted_lines) and not any(problem.blocks_order for problem in self.problems)

    @property
    def reduced_rate(self) -> int | None:
        """Return the percent of goods at the reduced rate, which are marked with ※, if it has any."""
        has_any = any(line.offer.tax_class == REDUCED for line in self.counted_lines)
        return self.rates[REDUCED] if has_any else None

    @property
    def taxes(self) -> list[tuple[int, int, int]]:
        """Return (rate, gross, contained tax) of each tax class in the cart; nothing when it is exempt."""
        return [
            (rate, gross, self.totals.taxes[tax_class])
            for tax_class, gross in self.totals.gross_by_class.items()
            if (rate := self.rates[tax_class]) is not None
        ]

    @property
    def missing_for_free_shipping(self) -> int:
        """Return how much (JPY) more goods make shipping free; 0 if it is free."""
        goods = self.totals.goods_total - self.totals.discount
        return max(settings.FREE_SHIPPING_FROM - goods, 0) if self.totals.shipping_fee else 0

    @property
    def fingerprint(self) -> str:
        """Return a hash that changes with every price, quantity, rate, shipping fee and discount."""
        parts = [
            [
                [line.offer.sku, line.quantity, line.offer.price, self.rates[line.offer.tax_class]]
                for line in self.counted_lines
            ],
            self.totals.discount,
            self.totals.shipping_fee,
            self.totals.total,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def load_offers(skus: Iterable[str], *, now: datetime) -> dict[str, Offer]:
    """Return SKU → offer of those `skus` that are for sale, taxed as of `now`, with one query."""
    wanted = {f"sku{place}": sku for place, sku in enumerate(sorted(set(skus)))}
    if not wanted:
        return {}
    found = list(offers_statement(len(wanted)).records(**wanted))
    order_tax = order_tax_of(found[0], now=now) if found else None
    return {
        row["sku"]: Offer(
            item_id=row["stock_id"],
            sku=row["sku"],
            title=in_language(row["product__title_ja"], row["product__title_en"]),
            option=in_language(row["option_ja"], row["option_en"]),
            url=product_url(row["product__slug"]),
            image=image_of(rows(row["own_json"])) or image_of(rows(row["general_json"])),
            price=row["price"],
            tax_class=row["tax_class"],
            available=max(row["stock__on_hand"] - row["stock__reserved"], 0),
            full_title_ja=japanese_title(row["product__title_ja"], row["option_ja"]),
            tax=order_tax,
        )
        for row in found
    }


def order_tax_of(row: Mapping[str, Any], *, now: datetime) -> OrderTax | None:
    """Return the tax of an order that is placed `now`, from a row of the offers; None: not set up yet."""
    try:
        return read_price_rules(row["statuses"], row["rates"]).of_orders(business_day(now))
    except TaxStatusMissing:
        return None


@lru_cache(maxsize=MAX_LINES)
def offers_statement(count: int) -> Statement:
    """Prepare the query of `load_offers` for a number of SKUs."""
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
            "tax_class",
            "stock__on_hand",
            "stock__reserved",
            "product__slug",
            "product__title_ja",
            "product__title_en",
            own_json=JsonRows(own, *IMAGE_FIELDS),
            general_json=JsonRows(general, *IMAGE_FIELDS),
            statuses=status_rows(),
            rates=rate_rows(),
        )
    )


def load_price(sku: str) -> int | None:
    """Return the price (JPY) of a SKU; None if it is not for sale."""
    return next((price for (price,) in price_statement().rows(sku=sku)), None)


@cache
def price_statement() -> Statement:
    """Prepare the query of `price_of`."""
    variants = Variant.objects.on_sale().filter(sku=slot("sku"), product__status=Product.Status.ACTIVE)
    return prepare(variants.values("price"))


def shipping_fee(goods: int) -> int:
    """Return the shipping fee (JPY) for goods worth `goods` after the discount; 0 if there are none."""
    return 0 if goods == 0 or goods >= settings.FREE_SHIPPING_FROM else settings.SHIPPING_FEE


def load_quote(cart: Cart, *, now: datetime) -> Quote:
    """Return the quote of a cart, with one query; with one more if something in it is no longer sold."""
    offers = load_offers((line.sku for line in cart), now=now)
    gone = [line.sku for line in cart if line.sku not in offers]
    return make_quote(cart.lines, offers, gone_titles=load_titles(gone) if gone else {})


def load_titles(skus: Iterable[str]) -> dict[str, str]:
    """Return SKU → title with option of those `skus` that the catalogue still knows, sold or not."""
    rows = Variant.objects.filter(sku__in=list(skus)).exclude(product__status=Product.Status.DRAFT)
    return {
        variant.sku: full_title(
            in_language(variant.product.title_ja, variant.product.title_en),
            in_language(variant.option_ja, variant.option_en),
        )
        for variant in rows.select_related("product")
    }


def full_title(title: str, option: str) -> str:
    """Return a title with the option, as the order line has it."""
    if not option:
        return title
    return in_language(japanese_title(title, option), f"{title} ({option})")


def japanese_title(title: str, option: str) -> str:
    """Return a title with the option in Japanese, in whichever language the page is."""
    return f"{title}（{option}）" if option else title


def make_quote(
    wanted: Sequence[CartLine],
    offers: Mapping[str, Offer],
    *,
    gone_titles: Mapping[str, str] = MappingProxyType({}),
    discount: int = 0,
) -> Quote:
    """Return the quote of cart lines by the offers of the catalogue; a pure function.

    `gone_titles` (SKU → title) name what is no longer sold. `discount` (JPY) is spread over the lines by
    value and is at most the value of the goods.
    """
    lines: list[QuoteLine] = []
    problems: list[Problem] = []
    for entry in wanted:
        offer = offers.get(entry.sku)
        if offer is None:
            problems.append(no_longer_sold(entry.sku, gone_titles.get(entry.sku, "")))
            continue
        own = line_problems(entry, offer)
        problems += own
        lines.append(QuoteLine(offer, entry.quantity, entry.price_seen, tuple(own)))
    amounts = [(line.amount, line.offer.tax_class) for line in lines if line.is_counted]
    order_tax = next((line.offer.tax for line in lines), None)
    if lines and order_tax is None:
        text = _("We do not take orders yet. Please come back soon.")
        problems.append(Problem(ProblemKind.CLOSED, "", text))
    terms = order_tax or NO_TAX
    goods = sum(amount for amount, _class in amounts)
    discount = min(discount, goods)
    totals = tax.totals(
        amounts,
        discount=discount,
        shipping_fee=shipping_fee(goods - discount),
        rates=terms.rates,
        rounding=terms.rounding,
    )
    if amounts and totals.total < settings.ORDER_MINIMUM:
        text = _("Orders are possible from ¥%(minimum)s. Please add something.")
        problems.append(Problem(ProblemKind.BELOW_MINIMUM, "", text % {"minimum": settings.ORDER_MINIMUM}))
    # a total with more pieces than are available means nothing
    too_many = any(problem.kind is ProblemKind.TOO_MANY for problem in problems)
    if totals.total > MAX_CHARGE and not too_many:
        text = _(
            "This is more than one card payment can carry (¥99,999,999). Please contact us for an offer."
        )
        problems.append(Problem(ProblemKind.ABOVE_MAXIMUM, "", text))
    return Quote(tuple(lines), tuple(problems), totals, terms.rates)


def no_longer_sold(sku: str, title: str) -> Problem:
    """Return the problem that a SKU is not for sale; `title` is empty if the catalogue has forgotten it."""
    if title:
        text = _("“%(title)s” is no longer sold. We took it out of your cart.") % {"title": title}
    else:
        text = _("One item of your cart is no longer sold. We took it out.")
    return Problem(ProblemKind.UNKNOWN, sku, text)


def line_problems(entry: CartLine, offer: Offer) -> list[Problem]:
    """Return the problems of a line: too few pieces, a changed price."""
    found: list[Problem] = []
    if offer.available < 1:
        text = _("“%(title)s” is sold out. Please remove it to go on; the rest of your cart stays.")
        found.append(Problem(ProblemKind.SOLD_OUT, offer.sku, text % {"title": offer.full_title}))
    elif entry.quantity > offer.available > LOW_STOCK:  # how many there are is the shop's own affair
        text = _("We do not have so many of “%(title)s”. Please order fewer, or contact us.")
        found.append(Problem(ProblemKind.TOO_MANY, offer.sku, text % {"title": offer.full_title}))
    elif entry.quantity > offer.available:
        text = ngettext(
            "Only %(available)s of “%(title)s” is left. Please change the quantity.",
            "Only %(available)s of “%(title)s” are left. Please change the quantity.",
            offer.available,
        )
        values = {"title": offer.full_title, "available": offer.available}
        found.append(Problem(ProblemKind.TOO_MANY, offer.sku, text % values))
    if entry.price_seen != offer.price:
        text = _("The price of “%(title)s” changed from ¥%(before)s to ¥%(now)s since you put it in.")
        values = {
            "title": offer.full_title,
            "before": f"{entry.price_seen:,}",
            "now": f"{offer.price:,}",
        }
        found.append(Problem(ProblemKind.PRICE_CHANGED, offer.sku, text % values))
    return found
