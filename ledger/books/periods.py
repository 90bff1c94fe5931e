"""Periods that the books are read for: a month, a fiscal year, any days. Labels are as papers print them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ledger.books.tax_rules import TaxRules

MONTH, YEAR, DAYS = "month", "year", "days"  # kinds of periods, and values of the parameter `period`
YEARS = range(2000, 2100)  # of days that can be asked for
MONTH_TEXT = re.compile(r"(\d{4})-(\d{1,2})", re.ASCII)


@dataclass(frozen=True)
class Period:
    """The business days from `first` to `last`, both included."""

    first: date
    last: date
    label: str
    kind: str = DAYS

    def __contains__(self, day: date) -> bool:
        """Return whether a day is one of the period."""
        return self.first <= day <= self.last

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters from which `read_period` makes this period."""
        if self.kind == DAYS:
            return {"period": DAYS, "first": self.first.isoformat(), "last": self.last.isoformat()}
        return {"period": self.kind, self.kind: f"{self.first:%Y-%m}"}


def month(day: date) -> Period:
    """Return the calendar month that contains a day."""
    first = day.replace(day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return Period(first, last, f"{day.year}年{day.month}月", MONTH)


def fiscal_year(day: date, rules: TaxRules) -> Period:
    """Return the fiscal year that contains a day. Raises `TaxStatusMissing`."""
    first, last = rules.first_day_of_year(day), rules.last_day_of_year(day)
    is_second = rules.fiscal_year(day) != first.year  # that begins in this calendar year
    name = f"{first.year}年{first.month}月開始の年度" if is_second else f"{first.year}年度"
    return Period(first, last, f"{name}（{first}〜{last}）", YEAR)


def any_days(first: date, last: date) -> Period:
    """Return the period of chosen days. Raises ValueError when they are in the wrong order."""
    if first > last:
        raise ValueError(f"{first} is after {last}.")
    return Period(first, last, str(first) if first == last else f"{first}〜{last}")


def fiscal_years(first: date, last: date, rules: TaxRules) -> list[Period]:
    """Return the fiscal years from that of one day to that of a later one, the latest first."""
    years = [fiscal_year(last, rules)]
    while years[-1].first > first:
        years.append(fiscal_year(years[-1].first - timedelta(days=1), rules))
    return years


def read_period(parameters: Mapping[str, str], *, today: date, rules: TaxRules) -> Period:
    """Return the period of a request's parameters; without any, the current month.

    `period` is month, year or days; `month` and `year` are written as 2026-11 (a fiscal year by a month in
    it), `first` and `last` as 2026-11-30. Raises ValidationError, which says what to enter.
    """
    kind = parameters.get("period") or MONTH
    if kind == MONTH:
        text = parameters.get("month")
        return month(_read_month(text) if text else today)
    if kind == YEAR:
        text = parameters.get("year")
        return fiscal_year(_read_month(text) if text else today, rules)
    if kind != DAYS:
        raise ValidationError(_("Choose a month, a fiscal year, or a first and a last day."))
    first, last = (_read_day(parameters.get(name, "")) for name in ("first", "last"))
    if first > last:
        raise ValidationError(_("The first day is after the last day."))
    return any_days(first, last)


def _read_month(text: str) -> date:
    """Return the first day of the month."""
    written = MONTH_TEXT.fullmatch(text.strip())
    if written is None or int(written[1]) not in YEARS or not 1 <= int(written[2]) <= 12:
        raise ValidationError(_("Enter a month as 2026-11."))
    return date(int(written[1]), int(written[2]), 1)


def _read_day(text: str) -> date:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise ValidationError(_("Enter the first and the last day as 2026-11-30.")) from None
    if day.year not in YEARS:
        raise ValidationError(_("Enter the first and the last day as 2026-11-30."))
    return day
