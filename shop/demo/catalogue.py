"""The goods of the demo shop: deterministic, in any number."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest

from .product import (
    ACTIVE,
    ARCHIVED,
    DRAFT,
    Category,
    Product,
    ProductPicture,
    Specification,
    Text,
    Variant,
)
from .shelves import bulbs, ceilings, desks, emergency, panels, power, tapes

__all__ = [
    "ACTIVE", "ARCHIVED", "CATEGORIES", "DRAFT", "Category", "Product", "ProductPicture", "Specification",
    "Text", "Variant", "goods", "stream",
]  # fmt: skip

_SHELVES = (ceilings, desks, tapes, panels, bulbs, power, emergency)

CATEGORIES: tuple[Category, ...] = tuple(shelf.CATEGORY for shelf in _SHELVES)

# In turn from every shelf, so that the first n cover all categories.
_DRAWN_BY_HAND: tuple[Product, ...] = tuple(
    product
    for row in zip_longest(*(shelf.PRODUCTS for shelf in _SHELVES))
    for product in row
    if product is not None
)
_REPEATED = tuple(product for product in _DRAWN_BY_HAND if product.status == ACTIVE)

MIN_PRICE, MAX_PRICE = 380, 59_800  # JPY, tax included


def goods(count: int | None = None) -> list[Product]:
    """Return `count` products, or for None all that are drawn by hand.

    A smaller number is spread over the categories; a larger one adds numbered variations with other sizes and
    prices. The same count gives the same goods, and a larger count begins with the goods of a smaller one.

    Raises:
        ValueError: the count is negative.
    """
    return list(stream(len(_DRAWN_BY_HAND) if count is None else count))


def stream(count: int) -> Iterator[Product]:
    """Yield `count` products one by one, so that many thousands take no memory."""
    if count < 0:
        raise ValueError(f"The number of products is zero or more, not {count}.")
    yield from _DRAWN_BY_HAND[:count]
    for extra in range(count - len(_DRAWN_BY_HAND)):
        turn, place = divmod(extra, len(_REPEATED))
        yield _variation(_REPEATED[place], turn + 2)


def _variation(product: Product, number: int) -> Product:
    """Return variation `number` (from 2) of a product, with its own size, prices and stock."""
    step = (number * 37 + len(product.slug) * 11) % 23 - 11  # −11 … 11, the same at every call
    size, price = 1 + step * 0.02, 1 + step * 0.03

    def yen(amount: int) -> int:
        return min(max(round(amount * price / 10) * 10, MIN_PRICE), MAX_PRICE)

    variants = []
    for place, variant in enumerate(product.variants):
        now = yen(variant.price)
        before = yen(variant.compare_at_price) if variant.compare_at_price else None
        variants.append(
            replace(
                variant,
                sku=f"{variant.sku}-S{number}",
                price=now,
                compare_at_price=before if before and before > now else None,
                stock=(variant.stock * 7 + number * 13 + place * 5) % 60,
            )
        )
    label = Text(f"（No.{number}）", f" (No. {number})")
    pictures = tuple(
        ProductPicture(
            replace(
                picture.drawing,
                width=max(round(picture.drawing.width * size), 1),
                height=max(round(picture.drawing.height * size), 1),
            ),
            Text(picture.alt.ja + label.ja, picture.alt.en + label.en),
        )
        for picture in product.pictures
    )
    width, height = pictures[0].drawing.width, pictures[0].drawing.height
    series = Specification(
        Text("シリーズ", "Series"),
        Text(
            f"No.{number}（幅 {width:,} mm・高さ {height:,} mm）",
            f"No. {number} ({width:,} mm wide, {height:,} mm high)",
        ),
    )
    kept = tuple(row for row in product.specifications if row.name.en != "Size")
    return replace(
        product,
        slug=f"{product.slug}-{number}",
        title=Text(product.title.ja + label.ja, product.title.en + label.en),
        specifications=(*kept, series),
        variants=tuple(variants),
        pictures=pictures,
        featured=None,
    )
