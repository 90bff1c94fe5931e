"""Amounts of money: integer JPY, how they are written, and the limits of what can be charged."""

MAX_CHARGE = 99_999_999  # JPY: Stripe takes eight digits at most


def yen(amount: int) -> str:
    """Write integer JPY as ¥12,130 or −¥500, the same in every language."""
    return f"¥{amount:,}" if amount >= 0 else f"−¥{-amount:,}"
