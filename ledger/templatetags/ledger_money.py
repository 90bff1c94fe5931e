"""Template filters of the ledger's pages and mails: money, taxes, deadlines, payment methods."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django import template
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import get_language

from kikaku.money import REDUCED, TAX_CLASSES, yen
from ledger.books.tax import SHIPPING_CLASS
from ledger.stripe.methods import method_named
from ledger.stripe.methods.konbini import STORES

register = template.Library()


register.filter("yen", yen)


@register.filter
def figure(amount: int | None) -> str:
    """Write integer JPY as books do: 12,130, △500, and nothing for 0."""
    if not amount:
        return ""
    return f"{amount:,}" if amount > 0 else f"△{-amount:,}"


@register.filter
def tax_rows(order: Any, lines: Sequence[Any] | None = None) -> list[tuple[int, int, int]]:
    """Return (rate, gross, contained tax) for each class of an order's goods; nothing when it is exempt.

    Without `lines` they are loaded.
    """
    gross = dict.fromkeys(TAX_CLASSES, 0)
    gross[SHIPPING_CLASS] += order.shipping_fee
    for line in order.lines.all() if lines is None else lines:
        gross[line.tax_class] += line.total
    return [
        (rate, gross[tax_class], order.taxes[tax_class])
        for tax_class, rate in order.tax_rates.items()
        if gross[tax_class] and rate is not None
    ]


@register.filter
def reduced_rate(order: Any, lines: Iterable[Any]) -> int | None:
    """Return the percent of an order's goods at the reduced rate, which are marked with ※, if it has any."""
    rate: int | None = order.rate_reduced
    return rate if any(line.tax_class == REDUCED for line in lines) else None


@register.filter
def goods(line: Any) -> int:
    """Return the price of a line before the discount (JPY)."""
    amount: int = line.unit_price * line.quantity
    return amount


@register.filter("day", expects_localtime=True)
def format_day(day: date) -> str:
    """Return a day with its weekday: 2026年11月26日（木） or Thu 26 November 2026."""
    return date_format(day, "D j F Y" if get_language() == "en" else "Y年n月j日（D）")


@register.filter("deadline")
def format_deadline(instant: datetime) -> str:
    """Return a deadline in Japanese time: 11月26日（木）23:59 or Thu 26 November, 23:59 JST."""
    english = get_language() == "en"
    return date_format(localtime(instant), "D j F, H:i" if english else "n月j日（D）H:i") + " JST" * english


@register.filter
def by_store(codes: Mapping[str, Mapping[str, str]]) -> list[tuple[Any, str, str]]:
    """Return (store, payment code, confirmation number) for each chain of stores in a voucher's codes."""
    return [
        (name, codes[store].get("payment_code", ""), codes[store].get("confirmation_number", ""))
        for store, name in STORES.items()
        if store in codes
    ]


@register.filter
def refunds_to_bank_account(method: str) -> bool:
    """Return whether a refund of a payment by this method goes to a bank account that the customer names."""
    return method_named(method).refunds_to_bank_account
