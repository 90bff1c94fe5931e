"""How the ledger's pages and mails write money and quantities."""

from typing import Any

from django import template

register = template.Library()


@register.filter
def yen(amount: int) -> str:
    """Write integer JPY as ¥12,130, in the same way in every language."""
    return f"¥{amount:,}" if amount >= 0 else f"−¥{-amount:,}"


@register.filter
def tax_rows(order: Any) -> list[tuple[int, int, int]]:
    """Give (rate, gross, tax contained) for each rate of an order; needs its `lines` prefetched or loads them."""
    rows = []
    for rate, tax in ((10, order.tax_10), (8, order.tax_8)):
        gross = sum(line.total for line in order.lines.all() if line.tax_rate == rate)
        gross += order.shipping_fee if rate == 10 else 0
        if gross:
            rows.append((rate, gross, tax))
    return rows


@register.filter
def goods(line: Any) -> int:
    """Give what a line's pieces cost before the discount (JPY)."""
    amount: int = line.unit_price * line.quantity
    return amount
