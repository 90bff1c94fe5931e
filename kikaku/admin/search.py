"""The admin's search over folded texts, and its filters for ranges of days and amounts."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import pgettext
from unfold.contrib.filters.admin import RangeDateFilter, RangeNumericFilter

from kikaku.days import day_bounds
from kikaku.text import HYPHENS_IN_NUMBERS, fold

MAX_WORDS = 8  # of a search; the rest is ignored


class FoldedSearch:
    """An admin whose search finds rows with all words, however these are written."""

    list_per_page: int

    def word_condition(self, word: str) -> Q:
        """Return the condition that a row has a word."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Return the rows with all words; a row is there once.

        A search reads whole tables. What fits on one page is found once, then counted and shown by its keys.
        """
        words = [word for word in search_term.replace("\x00", "").split()[:MAX_WORDS] if fold(word)]
        if not words:
            return queryset, False
        found = queryset
        for word in words:
            found = found.filter(self.word_condition(word))
        keys = list(found.order_by().values_list("pk", flat=True)[: self.list_per_page + 1])
        return (queryset.filter(pk__in=keys) if len(keys) <= self.list_per_page else found), False


def typed_amount(word: str) -> int | None:
    """Return the yen of a word such as 12,800, ¥12800 or 12800円; None if it is none."""
    number = fold(word).strip("¥円").replace(",", "")
    return int(number) if re.fullmatch(r"\d{1,9}", number) else None


def typed_day(word: str) -> date | None:
    """Return the day of a word such as 2026-11-29, 2026/11/29 or 2026年11月29日; None if it is none."""
    plain = HYPHENS_IN_NUMBERS.sub("-", unicodedata.normalize("NFKC", word))
    found = re.fullmatch(r"(\d{4})[/年.-](\d{1,2})[/月.-](\d{1,2})日?", plain)
    if found is None:
        return None
    try:
        day = date(*map(int, found.groups()))
        day_bounds(day)
    except (ValueError, OverflowError):  # the first and the last day of the calendar have no bounds in UTC
        return None
    return day


class NamedEnds:
    """A filter whose two fields are named; unfold's "To" has another meaning in other packages."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Return the form of the filter."""
        for choice in super().choices(changelist):  # type: ignore[misc]
            for end, name in (("from", pgettext("range", "from")), ("to", pgettext("range", "to"))):
                field = choice["form"].fields[f"{choice['parameter_name']}_{end}"]
                field.widget.attrs["placeholder"] = name
            yield choice


class DayRangeFilter(NamedEnds, RangeDateFilter):
    """The business days from and to, both included, of an instant."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the days; a bound that is no day counts as empty."""
        first, last = (self._day(end) for end in ("from", "to"))
        if first:
            queryset = queryset.filter(**{f"{self.parameter_name}__gte": day_bounds(first)[0]})
        if last:
            queryset = queryset.filter(**{f"{self.parameter_name}__lt": day_bounds(last)[1]})
        return queryset

    def _day(self, end: str) -> date | None:
        return typed_day(str(self.used_parameters.get(f"{self.parameter_name}_{end}") or ""))


class BusinessDayRangeFilter(DayRangeFilter):
    """The days from and to, both included, of a field that holds a business day."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the days; a bound that is no day counts as empty."""
        for end, lookup in (("from", "gte"), ("to", "lte")):
            if day := self._day(end):
                queryset = queryset.filter(**{f"{self.parameter_name}__{lookup}": day})
        return queryset


class AmountRangeFilter(NamedEnds, RangeNumericFilter):
    """The yen from and to, both included."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the amounts; a bound that is no amount counts as empty."""
        for end, lookup in (("from", "gte"), ("to", "lte")):
            amount = typed_amount(str(self.used_parameters.get(f"{self.parameter_name}_{end}") or ""))
            if amount is not None:
                queryset = queryset.filter(self.condition(lookup, amount))
        return queryset

    def condition(self, lookup: str, amount: int) -> Q:
        """Return the condition of one bound, an amount in yen."""
        return Q(**{f"{self.parameter_name}__{lookup}": amount})
