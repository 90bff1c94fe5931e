"""Periods that the books are read for, and how a request names them."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError

from ledger.books import periods
from ledger.books.tax_rules import TaxRules
from ledger.models import TaxStatus
from ledger.models.books import read_year_name, voucher_number

TODAY = date(2026, 11, 16)


def year_ending_in(*months: tuple[date, int]) -> TaxRules:
    """Return rules whose fiscal year ends in a month, from a day on."""
    return TaxRules(tuple(TaxStatus(from_day=day, fiscal_year_end=month) for day, month in months), ())


MARCH = year_ending_in((date(2019, 10, 1), 3))


def read(**parameters: str) -> tuple[date, date]:
    """Return the first and the last day of the period that a request asks for."""
    period = periods.read_period(parameters, today=TODAY, rules=MARCH)
    return period.first, period.last


def test_without_parameters_it_is_the_current_month() -> None:
    assert read() == (date(2026, 11, 1), date(2026, 11, 30))


def test_a_month_ends_with_its_last_day_also_in_february_of_a_leap_year() -> None:
    assert read(period="month", month="2028-02") == (date(2028, 2, 1), date(2028, 2, 29))
    assert read(period="month", month="2027-2") == (date(2027, 2, 1), date(2027, 2, 28))
    assert read(period="month", month="2026-12")[1] == date(2026, 12, 31)


def test_a_fiscal_year_is_named_by_any_of_its_months() -> None:
    expected = (date(2026, 4, 1), date(2027, 3, 31))
    assert read(period="year", year="2026-04") == read(period="year", year="2027-03") == expected
    assert read(period="year") == expected


def test_a_year_that_ends_in_february_ends_on_the_29th_of_a_leap_year() -> None:
    rules = year_ending_in((date(2019, 10, 1), 2))
    year = periods.fiscal_year(date(2028, 2, 29), rules)
    assert (year.first, year.last) == (date(2027, 3, 1), date(2028, 2, 29))
    assert periods.fiscal_year(date(2028, 3, 1), rules).first == date(2028, 3, 1)


def test_a_changed_last_month_makes_a_short_year() -> None:
    rules = year_ending_in((date(2019, 10, 1), 3), (date(2026, 6, 10), 12))
    years = periods.fiscal_years(date(2025, 5, 1), date(2027, 1, 1), rules)
    assert [(year.first, year.last) for year in years] == [
        (date(2027, 1, 1), date(2027, 12, 31)),
        (date(2026, 4, 1), date(2026, 12, 31)),
        (date(2025, 4, 1), date(2026, 3, 31)),
    ]


def test_years_that_begin_in_one_calendar_year_have_names_and_vouchers_of_their_own() -> None:
    rules = year_ending_in((date(2019, 10, 1), 12), (date(2026, 2, 1), 3), (date(2026, 5, 1), 9))
    years = periods.fiscal_years(date(2025, 5, 1), date(2026, 11, 1), rules)
    assert [year.label for year in years] == [
        "2026年10月開始の年度（2026-10-01〜2027-09-30）",
        "2026年4月開始の年度（2026-04-01〜2026-09-30）",
        "2026年度（2026-01-01〜2026-03-31）",
        "2025年度（2025-01-01〜2025-12-31）",
    ]
    vouchers = [voucher_number(15, rules.fiscal_year(year.first), year.first) for year in years]
    assert vouchers == ["202610-15", "202604-15", "2026-15", "2025-15"]
    assert [rules.fiscal_year(year.last) for year in years] == [
        read_year_name(voucher.partition("-")[0]) for voucher in vouchers
    ]
    assert rules.fiscal_year(date(2027, 10, 1)) == 2027
    assert max(rules.fiscal_year(year.first) for year in years) < 2**15  # of a small integer


def test_every_period_is_read_back_from_its_own_parameters() -> None:
    for period in (
        periods.month(TODAY),
        periods.fiscal_year(TODAY, MARCH),
        periods.any_days(date(2026, 11, 29), date(2026, 12, 2)),
    ):
        assert periods.read_period(period.parameters, today=date(2030, 1, 1), rules=MARCH) == period


def test_labels_are_as_papers_print_them() -> None:
    assert periods.month(TODAY).label == "2026年11月"
    assert periods.fiscal_year(TODAY, MARCH).label == "2026年度（2026-04-01〜2027-03-31）"
    assert periods.any_days(TODAY, TODAY).label == "2026-11-16"


@pytest.mark.parametrize(
    "parameters",
    [
        {"period": "week"},
        {"period": "month", "month": "November"},
        {"period": "month", "month": "2026-13"},
        {"period": "month", "month": "0000-01"},
        {"period": "year", "year": "9999-12"},
        {"period": "year", "year": "2026"},
        {"period": "days"},
        {"period": "days", "first": "2026-11-01"},
        {"period": "days", "first": "2026-02-30", "last": "2026-03-01"},
        {"period": "days", "first": "2026-11-02", "last": "2026-11-01"},
        {"period": "days", "first": "0001-01-01", "last": "2026-11-01"},
        {"period": "days", "first": "2026-11-01", "last": "9999-12-31"},
    ],
)
def test_a_period_that_cannot_be_read_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        read(**parameters)
