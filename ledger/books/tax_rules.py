"""The rules of consumption tax on a day: the merchant's status, the rates of goods, the fiscal year.

Both tables are small and are read together, in one query.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.apps.registry import Apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Subquery
from django.utils.translation import gettext_lazy as _

from kikaku.json_rows import JsonRows, rows
from kikaku.money import REDUCED, STANDARD, TAX_CLASSES
from ledger.models import DailyClose, TaxRate, TaxStatus
from ledger.models.books import year_number

MAX_MONTHS_OF_A_YEAR = 24  # of a fiscal year whose last month is changed within it


class TaxStatusMissing(Exception):
    """Nothing can be posted or sold: the merchant's tax status was not entered."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "The tax status is not entered yet. Until it is, nothing is posted and no order is taken. "
                "Enter it in the admin, under “Tax settings”."
            )
        )


@dataclass(frozen=True)
class OrderTax:
    """How the tax contained in an order is computed: by the rules of the day when it is placed."""

    rates: Mapping[str, int | None]  # percent by tax class; None: exempt
    rounding: str


@dataclass(frozen=True)
class TaxRules:
    """The statuses by day, and the rates by class and day; both in the order of their days."""

    statuses: tuple[TaxStatus, ...]
    rates: tuple[tuple[str, date, int], ...]  # class, first day, percent
    last_closed: date | None = None  # the latest closed day, read with them: a posting needs both

    def status_on(self, day: date) -> TaxStatus:
        """Return the status on a day; before the first, that of the first day. Raises `TaxStatusMissing`."""
        if not self.statuses:
            raise TaxStatusMissing
        first_day = self.statuses[0].from_day
        return [status for status in self.statuses if status.from_day <= max(day, first_day)][-1]

    def rate_on(self, tax_class: str, day: date) -> int:
        """Return the percent of a class for goods delivered on a day."""
        of_class = [(first, percent) for known, first, percent in self.rates if known == tax_class]
        if not of_class:
            raise ValueError(f"{tax_class} has no tax rate.")
        return next((percent for first, percent in reversed(of_class) if first <= day), of_class[0][1])

    def charged_rate(self, tax_class: str, day: date) -> int | None:
        """Return the percent of the tax that is posted for goods delivered on a day; None when exempt."""
        return None if self.status_on(day).is_exempt else self.rate_on(tax_class, day)

    def of_orders(self, day: date) -> OrderTax:
        """Return how the tax of orders of a day is computed. Raises `TaxStatusMissing`."""
        rates = {tax_class: self.charged_rate(tax_class, day) for tax_class in TAX_CLASSES}
        return OrderTax(rates, self.status_on(day).rounding)

    def first_day_of_year(self, day: date) -> date:
        """Return the first day of the fiscal year that contains `day`.

        A year ends on the last day of a month when the status of that day says so, and after twelve months
        (法人税法13条). So a changed month makes a year shorter, never longer.
        """
        first = day.replace(day=1)
        for _month in range(MAX_MONTHS_OF_A_YEAR):
            last = first - timedelta(days=1)
            if self.status_on(last).fiscal_year_end == last.month:
                break
            first = last.replace(day=1)
        while (next_year := first.replace(year=first.year + 1)) <= day:
            first = next_year
        return first

    def last_day_of_year(self, day: date) -> date:
        """Return the last day of the fiscal year that contains `day`."""
        last = day
        for _month in range(MAX_MONTHS_OF_A_YEAR):
            following = (last.replace(day=28) + timedelta(days=4)).replace(day=1)
            last = following - timedelta(days=1)
            if self.status_on(last).fiscal_year_end == last.month:
                break
            last = following
        first = self.first_day_of_year(day)
        return min(last, first.replace(year=first.year + 1) - timedelta(days=1))

    def fiscal_year(self, day: date) -> int:
        """Return the number of the fiscal year of a day, which no other year has (`year_number`)."""
        first = self.first_day_of_year(day)
        before = self.first_day_of_year(first - timedelta(days=1))
        return year_number(first, is_second=before.year == first.year)


STATUS_FIELDS = ("from_day", "liability", "rounding")  # what the price of an order depends on


def status_rows() -> JsonRows:
    """Return what prices need of every status as one column of another query; see `read_price_rules`."""
    return JsonRows(TaxStatus.objects.order_by("from_day", "id"), *STATUS_FIELDS)


def rate_rows() -> JsonRows:
    """Return every rate as one column of another query; see `read_price_rules`."""
    return JsonRows(TaxRate.objects.order_by("from_day"), "tax_class", "from_day", "percent")


def load_tax_rules() -> TaxRules:
    """Return the rules and the latest closed day, with one query."""
    last_closed = Subquery(DailyClose.objects.order_by("-day").values("day")[:1])
    statuses = TaxStatus.objects.order_by("from_day", "id")
    found = list(statuses.annotate(rates=rate_rows(), last_closed=last_closed))
    if not found:
        return TaxRules((), ())
    return TaxRules(tuple(found), _read_rates(rows(found[0].rates)), found[0].last_closed)


def read_price_rules(statuses: str, rates: str) -> TaxRules:
    """Return the rules that prices need, from the columns that `status_rows` and `rate_rows` gave.

    They know no fiscal years.
    """
    return TaxRules(
        tuple(
            TaxStatus(**(row | {"from_day": date.fromisoformat(row["from_day"])})) for row in rows(statuses)
        ),
        _read_rates(rows(rates)),
    )


def _read_rates(found: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, date, int], ...]:
    return tuple((row["tax_class"], date.fromisoformat(row["from_day"]), row["percent"]) for row in found)


def ensure_tax_rates(apps: Apps | None = None, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Create the rates of today's law unless there are any. Inside a migration `apps` is the historical one.

    消費税法29条 and 平成28年法律15号附則: 10 %, and 8 % for food and drink, from 1 October 2019.
    """
    if apps is None:
        from django.apps import apps as current

        apps = current
    rate = apps.get_model("ledger", "TaxRate")
    rates = rate._default_manager.using(using)
    if not rates.exists():
        first = date(2019, 10, 1)
        rates.bulk_create(
            rate(tax_class=tax_class, from_day=first, percent=percent)
            for tax_class, percent in ((STANDARD, 10), (REDUCED, 8))
        )
