"""Money: integer JPY and how it is written, the limits of prices and charges, the classes of sales tax."""

MAX_CHARGE = 99_999_999  # JPY: Stripe takes eight digits at most
MAX_UNIT_PRICE = 9_999_999  # JPY, tax included
MAX_LINE_QUANTITY = 9_999  # pieces

# classes of goods by consumption tax; the rate of a class changes by law (`ledger.models.TaxRate`)
STANDARD = "standard"
REDUCED = "reduced"  # food and drink
TAX_CLASSES = (STANDARD, REDUCED)


# currencies that Stripe does not count in hundredths: https://docs.stripe.com/currencies
WITHOUT_DECIMALS = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
WITH_THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def yen(amount: int) -> str:
    """Write integer JPY as ¥12,130 or −¥500, the same in every language."""
    return f"¥{amount:,}" if amount >= 0 else f"−¥{-amount:,}"


def in_currency(amount: int, currency: str) -> str:
    """Write an amount in Stripe's smallest unit with its currency: 1999 usd as 19.99 USD, JPY as `yen`."""
    if currency == "jpy":
        return yen(amount)
    decimals = 0 if currency in WITHOUT_DECIMALS else 3 if currency in WITH_THREE_DECIMALS else 2
    sign = "−" if amount < 0 else ""
    return f"{sign}{abs(amount) / 10**decimals:,.{decimals}f} {currency.upper()}"
