"""The query string of a product list: filters, order, search words and page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from kikaku.money import MAX_CHARGE
from shop.forms import normalise_line

SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")  # in a link to a variant
MAX_QUERY_LENGTH = 60  # characters; the rest is cut off

# key → (label, lower bound, upper bound); both bounds included, K or JPY
LIGHTS: dict[str, tuple[Promise, int, int]] = {
    "warm": (_("Warm white (up to 3,200 K)"), 0, 3_200),  # the bands of shop.scales
    "neutral": (_("Neutral white (3,300–4,600 K)"), 3_201, 4_600),
    "day": (_("Daylight white (4,700–5,700 K)"), 4_601, 5_700),
    "cool": (_("Cool daylight (from 5,800 K)"), 5_701, 20_000),
}
PRICES: dict[str, tuple[Promise, int, int]] = {
    "a": (_("up to ¥2,999"), 0, 2_999),
    "b": (_("¥3,000–9,999"), 3_000, 9_999),
    "c": (_("¥10,000–29,999"), 10_000, 29_999),
    "d": (_("¥30,000 and more"), 30_000, MAX_CHARGE),
}
SORTS: dict[str, Promise] = {
    "": pgettext_lazy("sort order", "Recommended"),
    "price": _("Price: low to high"),
    "-price": _("Price: high to low"),
    "new": _("Newest first"),
}


@dataclass(frozen=True, eq=False)
class FilterOptions:
    """The options of the filter form: keys and labels."""

    lights: tuple[tuple[str, Promise], ...] = tuple(
        (key, label) for key, (label, _low, _high) in LIGHTS.items()
    )
    prices: tuple[tuple[str, Promise], ...] = tuple(
        (key, label) for key, (label, _low, _high) in PRICES.items()
    )
    sorts: tuple[tuple[str, Promise], ...] = tuple(SORTS.items())


FILTER_OPTIONS = FilterOptions()


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list; unknown values are ignored when they are read."""

    query: str = ""
    category: str = ""  # slug
    light: str = ""
    price: str = ""
    in_stock: bool = False
    sort: str = ""

    @classmethod
    def read(cls, data: Mapping[str, str], *, category: str = "") -> "Filters":
        """Return the filters in a query string; a `category` from the path takes precedence."""
        light, price, sort = data.get("light", ""), data.get("price", ""), data.get("sort", "")
        return cls(
            query=normalise_query(data.get("q", "")),
            category=category or data.get("category", "").replace("\x00", "")[:50],
            light=light if light in LIGHTS else "",
            price=price if price in PRICES else "",
            in_stock=data.get("stock") == "1",
            sort=sort if sort in SORTS else "",
        )

    def parameters(self, **changes: str) -> str:
        """Return the query string of these filters with `changes`, without empty values."""
        values = {
            "q": self.query,
            "category": self.category,
            "light": self.light,
            "price": self.price,
            "stock": "1" if self.in_stock else "",
            "sort": self.sort,
        } | changes
        text = urlencode({key: value for key, value in values.items() if value})
        return f"?{text}" if text else ""


def normalise_query(text: str) -> str:
    """Return a search query as one normalised line of limited length."""
    return normalise_line(text.replace("\x00", ""))[:MAX_QUERY_LENGTH].strip()


def page_number(text: str) -> int:
    """Return a page number from the query string; 1 if it is not a number."""
    return int(text) if text.isascii() and text.isdigit() and 1 <= len(text) <= 4 and int(text) else 1


def read_sku(data: Mapping[str, str]) -> str:
    """Return the variant with which a product's page opens; empty if none is named."""
    sku = data.get("sku", "")
    return sku if SKU.fullmatch(sku) else ""
