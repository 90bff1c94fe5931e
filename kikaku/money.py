"""Money: integer JPY and how it is written, the limits of prices and charges, the consumption tax rates."""

MAX_CHARGE = 99_999_999  # JPY: Stripe takes eight digits at most
MAX_UNIT_PRICE = 9_999_999  # JPY, tax included
MAX_LINE_QUANTITY = 9_999  # pieces

STANDARD_RATE = 10  # percent
REDUCED_RATE = 8  # percent: food and drink
TAX_RATES = (STANDARD_RATE, REDUCED_RATE)


def yen(amount: int) -> str:
    """Write integer JPY as ¥12,130 or −¥500, the same in every language."""
    return f"¥{amount:,}" if amount >= 0 else f"−¥{-amount:,}"
