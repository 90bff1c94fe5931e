"""Columns that many lists share: yen with separators, and instants short enough to stay on one line."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.timezone import localtime

from kikaku.money import yen

LINK = "text-primary-600 hover:underline dark:text-primary-500"


def moment(instant: datetime | None) -> str:
    """Write an instant in Japanese time: 2026-11-22 22:47."""
    return date_format(localtime(instant), "Y-m-d H:i") if instant else "–"


def link(model: str, pk: Any, text: str) -> str:
    """Link to another page of the ledger's admin."""
    return format_html(
        '<a class="{}" href="{}">{}</a>', LINK, reverse(f"admin:ledger_{model}_change", args=[pk]), text
    )


def money(model: type[Model], field: str) -> Callable[[Any], str]:
    """Make a column, named and sorted like the model's field, that writes integer JPY."""

    def column(row: Any) -> str:
        amount = getattr(row, field)
        return "–" if amount is None else yen(amount)

    return _like(model, field, column)


def when(model: type[Model], field: str) -> Callable[[Any], str]:
    """Make a column, named and sorted like the model's field, that writes an instant."""

    def column(row: Any) -> str:
        return moment(getattr(row, field))

    return _like(model, field, column)


def day(model: type[Model], field: str) -> Callable[[Any], str]:
    """Make a column, named and sorted like the model's field, that writes a business day as 2026-11-22."""

    def column(row: Any) -> str:
        return str(getattr(row, field) or "–")

    return _like(model, field, column)


def _like(model: type[Model], field: str, column: Callable[[Any], str]) -> Callable[[Any], str]:
    column.__name__ = f"{field}_written"
    named: Any = column  # Django reads these from the function
    named.short_description = model._meta.get_field(field).verbose_name  # type: ignore[union-attr]
    named.admin_order_field = field
    return column
