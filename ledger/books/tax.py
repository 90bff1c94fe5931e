"""Consumption tax and the spreading of amounts: pure arithmetic on integer JPY.

Prices contain their tax. It is rounded down once per rate of an order, never per line: summing taxes that were
rounded per line is not permitted on a qualified invoice (適格請求書).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

STANDARD = 10  # percent
REDUCED = 8  # percent: food and drink
RATES = (STANDARD, REDUCED)
SHIPPING_RATE = STANDARD  # carriage is taxed at 10 % even with reduced-rate goods


def tax_of(gross: int, rate: int) -> int:
    """Give the tax contained in a tax-inclusive amount: ⌊gross × rate / (100 + rate)⌋, in JPY."""
    if gross < 0:
        raise ValueError(f"A gross amount can not be negative: {gross}.")
    return gross * rate // (100 + rate)


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Spread `amount` by `weights` with the largest remainder; the shares sum to `amount`.

    No share exceeds its weight as long as `amount` ≤ Σ weights. Equal remainders favour the earlier weight.
    Raises ValueError when there is something to spread and nothing to carry it, or a number is negative.
    """
    whole = sum(weights)
    if amount < 0 or any(weight < 0 for weight in weights):
        raise ValueError("Amounts and weights can not be negative.")
    if amount == 0:
        return [0] * len(weights)
    if whole == 0:
        raise ValueError(f"Nothing carries the {amount} to be spread.")
    shares = [amount * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(amount * weights[at] % whole), at))
    for at in by_remainder[: amount - sum(shares)]:
        shares[at] += 1
    return shares


def piecewise(total: int, quantity: int, start: int, pieces: int) -> int:
    """Give what `pieces` of a line are worth, after `start` pieces before them: a cumulative floor.

    All `quantity` pieces together are worth exactly `total`, in whatever parts they are taken.
    """
    if not 0 <= start <= start + pieces <= quantity:
        raise ValueError(f"Pieces {start} to {start + pieces} do not lie within {quantity}.")
    return total * (start + pieces) // quantity - total * start // quantity


@dataclass(frozen=True)
class Totals:
    """What an order comes to; all amounts are integer JPY including tax."""

    goods_total: int  # before the discount
    discount: int
    line_discounts: tuple[int, ...]  # one share per line, in the order of the lines
    shipping_fee: int
    total: int  # what is charged
    pots: Mapping[int, int]  # gross per rate, shipping in the 10 % pot; only rates that occur
    taxes: Mapping[int, int]  # tax contained in each pot, rounded down once


def totals(lines: Sequence[tuple[int, int]], *, discount: int, shipping_fee: int) -> Totals:
    """Add up lines of (amount, rate), spreading the discount over them by value.

    Raises ValueError for a negative number, an unknown rate, or a discount above the goods.
    """
    goods_total = sum(amount for amount, _ in lines)
    if shipping_fee < 0 or not 0 <= discount <= goods_total:
        raise ValueError(
            f"Discount {discount} or shipping fee {shipping_fee} does not fit goods of {goods_total}."
        )
    line_discounts = spread(discount, [amount for amount, _ in lines])
    pots = dict.fromkeys(RATES, 0)
    for (amount, rate), share in zip(lines, line_discounts, strict=True):
        if rate not in pots:
            raise ValueError(f"{rate} is no tax rate we know.")
        pots[rate] += amount - share
    pots[SHIPPING_RATE] += shipping_fee
    pots = {rate: gross for rate, gross in pots.items() if gross}
    return Totals(
        goods_total=goods_total,
        discount=discount,
        line_discounts=tuple(line_discounts),
        shipping_fee=shipping_fee,
        total=goods_total - discount + shipping_fee,
        pots=pots,
        taxes={rate: tax_of(gross, rate) for rate, gross in pots.items()},
    )
