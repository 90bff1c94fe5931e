"""Consumption tax and the division of amounts: pure arithmetic on integer JPY.

Prices include their tax. It is rounded once per rate of an order, never per line: a qualified invoice
(適格請求書) must not sum taxes that were rounded per line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kikaku.money import STANDARD, TAX_CLASSES

SHIPPING_CLASS = STANDARD  # shipping has the standard rate even with reduced-rate goods


def tax_of(gross: int, rate: int | None, rounding: str = "down") -> int:
    """Return the tax (JPY) contained in a tax-inclusive amount: gross × rate / (100 + rate), rounded.

    `rate` is in percent, None without tax; `rounding` is down, nearest or up. Any of the three is lawful
    (消費税法施行令70条の10, 基通1-8-15).
    """
    if gross < 0:
        raise ValueError(f"A gross amount cannot be negative: {gross}.")
    if rate is None:
        return 0
    if rounding == "nearest":
        return (2 * gross * rate + 100 + rate) // (2 * (100 + rate))
    return -(-gross * rate // (100 + rate)) if rounding == "up" else gross * rate // (100 + rate)


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Return the shares of `amount` in proportion to `weights`, by the largest-remainder method.

    They sum to `amount`, and none exceeds its weight as long as `amount` ≤ Σ weights. Of equal remainders the
    earlier weight gets the yen. Raises ValueError when a number is negative, or when all weights are zero and
    `amount` is not.
    """
    whole = sum(weights)
    if amount < 0 or any(weight < 0 for weight in weights):
        raise ValueError("Amounts and weights cannot be negative.")
    if amount == 0:
        return [0] * len(weights)
    if whole == 0:
        raise ValueError(f"The weights to spread {amount} over are all zero.")
    shares = [amount * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda index: (-(amount * weights[index] % whole), index))
    for index in by_remainder[: amount - sum(shares)]:
        shares[index] += 1
    return shares


def value_of_pieces(total: int, quantity: int, start: int, pieces: int) -> int:
    """Return the value (JPY) of `pieces` of a line after its first `start` pieces, rounded down cumulatively.

    All `quantity` pieces together are worth exactly `total`, however they are divided. Raises ValueError when
    the pieces are not within the quantity.
    """
    if not 0 <= start <= start + pieces <= quantity:
        raise ValueError(f"Pieces {start} to {start + pieces} are not within {quantity}.")
    return total * (start + pieces) // quantity - total * start // quantity


@dataclass(frozen=True)
class Totals:
    """The amounts of an order; all are integer JPY including tax."""

    goods_total: int  # before the discount
    discount: int
    line_discounts: tuple[int, ...]  # one share per line, in the order of the lines
    shipping_fee: int
    total: int  # what is charged
    gross_by_class: Mapping[str, int]  # shipping is of the standard class; only classes that occur
    taxes: Mapping[str, int]  # by class: the tax contained in its gross amount, rounded once


def totals(
    lines: Sequence[tuple[int, str]],
    *,
    discount: int,
    shipping_fee: int,
    rates: Mapping[str, int | None],
    rounding: str = "down",
) -> Totals:
    """Return the totals of lines of (amount, tax class), with the discount divided over them by value.

    `rates` are in percent, by class. Raises ValueError for a negative number, an unknown class, or a discount
    above the goods.
    """
    goods_total = sum(amount for amount, _ in lines)
    if shipping_fee < 0 or not 0 <= discount <= goods_total:
        raise ValueError(
            f"Discount {discount} or shipping fee {shipping_fee} does not fit goods of {goods_total}."
        )
    line_discounts = spread(discount, [amount for amount, _ in lines])
    gross_by_class = dict.fromkeys(TAX_CLASSES, 0)
    for (amount, tax_class), share in zip(lines, line_discounts, strict=True):
        if tax_class not in gross_by_class:
            raise ValueError(f"{tax_class} is not a known tax class.")
        gross_by_class[tax_class] += amount - share
    gross_by_class[SHIPPING_CLASS] += shipping_fee
    gross_by_class = {tax_class: gross for tax_class, gross in gross_by_class.items() if gross}
    return Totals(
        goods_total=goods_total,
        discount=discount,
        line_discounts=tuple(line_discounts),
        shipping_fee=shipping_fee,
        total=goods_total - discount + shipping_fee,
        gross_by_class=gross_by_class,
        taxes={
            tax_class: tax_of(gross, rates[tax_class], rounding)
            for tax_class, gross in gross_by_class.items()
        },
    )
