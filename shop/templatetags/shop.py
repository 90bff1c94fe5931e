"""How amounts and days are written."""

from datetime import date

from django import template
from django.utils.formats import date_format
from django.utils.translation import get_language

register = template.Library()


@register.filter
def yen(amount: int) -> str:
    """Write integer JPY as ¥12,800."""
    return f"−¥{-amount:,}" if amount < 0 else f"¥{amount:,}"


@register.filter
def number(value: int) -> str:
    """Write a count with thousands separators."""
    return f"{value:,}"


@register.filter
def short_day(day: date) -> str:
    """Write a day with its weekday: 11/25（水） or Wed 25 Nov."""
    return date_format(day, "D j M" if get_language() == "en" else "n/j（D）")
