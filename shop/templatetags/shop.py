"""Template filters for amounts, days and times; the `fragment` tag."""

from datetime import date, datetime

from django import template
from django.utils.formats import date_format
from django.utils.translation import get_language

from kikaku.money import yen
from ledger.stripe.methods import METHODS
from ledger.templatetags.ledger_terms import seller
from shop.pages import fragments
from shop.pages.links import absolute

register = template.Library()


register.filter("yen", yen)
register.filter("absolute", absolute)
register.simple_tag(seller)


@register.filter
def number(value: int) -> str:
    """Return a count with thousands separators."""
    return f"{value:,}"


@register.filter(expects_localtime=True)
def long_day(day: date) -> str:
    """Return a day: 2026年11月25日 or 25 November 2026."""
    return date_format(day, "j F Y" if get_language() == "en" else "Y年n月j日")


@register.filter(expects_localtime=True)
def format_time(instant: datetime) -> str:
    """Return a local time: 2026年11月25日 8:41 or 25 November 2026, 8:41."""
    return date_format(instant, "j F Y, G:i" if get_language() == "en" else "Y年n月j日 G:i")


@register.filter
def short_day(day: date) -> str:
    """Return a day with its weekday: 11/25（水） or Wed 25 Nov."""
    return date_format(day, "D\u00a0j\u00a0M" if get_language() == "en" else "n/j（D）")


@register.filter
def method_page(code: str) -> str:
    """Return the template with the shop's texts about a payment method; each text is a `part` of it."""
    return f"shop/methods/{code if code in METHODS else 'other'}.html"


register.simple_tag(fragments.fragment, takes_context=True)
