"""Columns of admin lists: yen with separators, instants and business days; the style of links."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from kikaku.days import is_day_only
from kikaku.money import yen

LINK_CLASSES = "text-primary-600 hover:underline dark:text-primary-500"


def link(address: str, text: str, *, new_tab: bool = False) -> SafeString:
    """Return a link in the style of the admin."""
    if new_tab:
        tag = '<a class="{}" href="{}" target="_blank" rel="noopener">{}</a>'
    else:
        tag = '<a class="{}" href="{}">{}</a>'
    return format_html(tag, LINK_CLASSES, address, text)


def format_local_time(instant: datetime | None) -> str:
    """Return an instant as text in Japanese time: 2026-11-22 22:47, or its day where only that is known."""
    if instant is None:
        return "–"
    return date_format(localtime(instant), "Y-m-d" if is_day_only(instant) else "Y-m-d H:i")


def money_column(model: type[Model], field: str) -> Callable[[Any], str]:
    """Return a column of integer JPY, named and sorted like the model's field."""

    def column(row: Any) -> str:
        amount = getattr(row, field)
        return "–" if amount is None else yen(amount)

    return _like(model, field, column)


def time_column(model: type[Model], field: str) -> Callable[[Any], str]:
    """Return a column of instants, named and sorted like the model's field."""

    def column(row: Any) -> str:
        return format_local_time(getattr(row, field))

    return _like(model, field, column)


def day_column(model: type[Model], field: str) -> Callable[[Any], str]:
    """Return a column of business days as 2026-11-22, named and sorted like the model's field."""

    def column(row: Any) -> str:
        return str(getattr(row, field) or "–")

    return _like(model, field, column)


def _like(model: type[Model], field: str, column: Callable[[Any], str]) -> Callable[[Any], str]:
    column.__name__ = f"{field}_written"
    named: Any = column  # Django reads these from the function
    named.short_description = model._meta.get_field(field).verbose_name  # type: ignore[union-attr]
    named.admin_order_field = field
    return column
