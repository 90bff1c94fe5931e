"""The trial balance of a period: fiscal years, closed and open days, tax included or not."""

from datetime import date, timedelta

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from kikaku.testing.database import examples
from ledger.books.periods import Period, any_days, fiscal_year, month
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import account_balances
from ledger.books.trial_sheet import PeriodAcrossYears, Sheet, printed_sheet, sheet
from ledger.models import Account, ClosingBalance, DailyClose, JournalLine, TaxStatus
from ledger.testing.entries import carry_balances, post_capture, post_return, post_shipment, rules_with
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db

LONG_AGO = date(2019, 10, 1)
DECEMBER = rules_with((LONG_AGO, 12))
PROFIT = ("revenue", "expense")
# debit − credit of the worked order, paid, shipped and returned in part
WORKED = {
    "1150": 12_130 - 437 - 44 - 3_000,
    "1410": 44,
    "2130": 0,
    "2150": -1_008 + 272,
    "2151": -76,
    "4110": -9_587,
    "4111": -959,
    "4120": -500,
    "4190": 2_728,
    "6111": 437,
}


def sell(day: date) -> None:
    """Post the worked order on a day."""
    post_capture(day)
    post_shipment(day)
    post_return(day)


def one_day(day: date) -> Period:
    """Return the period of one day."""
    return any_days(day, day)


def openings(found: Sheet) -> dict[str, int]:
    """Return the opening balances by account."""
    return {row.code: row.opening for row in found.rows}


def closings(found: Sheet) -> dict[str, int]:
    """Return the closing balances by account."""
    return {row.code: row.closing for row in found.rows}


def assert_balanced(found: Sheet) -> None:
    """Both sides are equal, of the opening, of the period and of the closing."""
    assert sum(row.opening for row in found.rows) == 0
    assert found.debit == found.credit
    assert found.debit_balance == found.credit_balance


def test_on_new_years_day_sales_and_expenses_open_at_zero_and_the_rest_carries_on() -> None:
    sell(date(2026, 12, 31))
    sell(date(2027, 1, 1))
    last, first = sheet(one_day(date(2026, 12, 31)), DECEMBER), sheet(one_day(date(2027, 1, 1)), DECEMBER)
    assert closings(last) == WORKED
    profit = sum(row.closing for row in last.rows if row.type in PROFIT)
    assert profit == -7_881
    assert [(row.code, row.opening, row.closing) for row in first.rows if row.name == "前期以前損益"] == [
        ("", profit, profit)
    ]
    for row in first.rows:
        if row.code:
            assert row.opening == (0 if row.code[0] in "46" else WORKED[row.code])
            assert row.year_to_date == WORKED[row.code]
    assert closings(first)["4110"] == -9_587
    assert closings(first)["1150"] == 2 * WORKED["1150"]
    assert_balanced(last)
    assert_balanced(first)


def test_a_month_opens_with_the_year_so_far_and_its_sums_are_those_of_the_journal() -> None:
    for day in (date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 30), date(2026, 12, 1)):
        sell(day)
    found = sheet(month(date(2026, 11, 16)), DECEMBER)
    assert openings(found) == WORKED
    assert closings(found) == {code: 3 * amount for code, amount in WORKED.items()}
    sides = JournalLine.objects.filter(entry__day__month=11).aggregate(debit=Sum("debit"))
    assert found.debit == sides["debit"]
    assert_balanced(found)


def test_a_year_that_ends_in_february_of_a_leap_year_ends_on_the_29th() -> None:
    rules = rules_with((LONG_AGO, 2))
    sell(date(2028, 2, 28))
    sell(date(2028, 2, 29))
    sell(date(2028, 3, 1))
    assert openings(sheet(one_day(date(2028, 2, 29)), rules))["4110"] == -9_587
    first = sheet(one_day(date(2028, 3, 1)), rules)
    assert (openings(first)["4110"], openings(first)["1150"]) == (0, 2 * WORKED["1150"])
    assert_balanced(first)


def test_a_changed_last_month_makes_a_short_year_that_opens_at_zero() -> None:
    rules = rules_with((LONG_AGO, 3), (date(2026, 6, 10), 12))
    for day in (date(2026, 3, 31), date(2026, 4, 1), date(2026, 12, 31), date(2027, 1, 1)):
        sell(day)
    short = sheet(fiscal_year(date(2026, 6, 1), rules), rules)
    assert (short.period.first, short.period.last) == (date(2026, 4, 1), date(2026, 12, 31))
    assert openings(short)["4110"] == 0
    assert closings(short)["4110"] == 2 * -9_587
    following = sheet(fiscal_year(date(2027, 1, 1), rules), rules)
    assert (openings(following)["4110"], closings(following)["4110"]) == (0, -9_587)
    assert openings(following)[""] == 3 * -7_881
    assert_balanced(following)


def test_a_period_in_two_fiscal_years_is_refused() -> None:
    with pytest.raises(PeriodAcrossYears, match="2026-12-31"):
        sheet(any_days(date(2026, 12, 31), date(2027, 1, 1)), DECEMBER)


def test_a_negative_balance_at_stripe_is_named_as_a_debt() -> None:
    post_return(date(2026, 11, 16))
    row = next(row for row in sheet(month(date(2026, 11, 1)), DECEMBER).rows if row.code == "1150")
    assert (row.name, row.debit_balance, row.credit_balance) == ("未払金（Stripe残高）", 0, 3_000)


# ── Closed and open days ─────────────────────────────────────────────────────────────────────────────────

FIRST_DAY = date(2025, 1, 20)
SOLD_ON = [FIRST_DAY + timedelta(days=days) for days in (0, 11, 71, 120, 345, 346, 347, 436, 500, 711, 730)]


def recomputed(period: Period, rules: TaxRules) -> dict[str, tuple[int, int, int, int]]:
    """Return opening, debit, credit and change since the year began by account, from every line."""
    types = dict(Account.objects.values_list("code", "type"))
    found: dict[str, tuple[int, int, int, int]] = {}
    former = 0
    year = rules.first_day_of_year(period.first)
    for code, day, debit, credit in JournalLine.objects.values_list(
        "account_id", "entry__day", "debit", "credit"
    ):
        if day > period.last:
            continue
        opening, debits, credits, to_date = found.get(code, (0, 0, 0, 0))
        if day in period:
            debits, credits = debits + debit, credits + credit
        elif day >= year or types[code] not in PROFIT:
            opening += debit - credit
        else:
            former += debit - credit
        to_date += debit - credit if day >= year else 0
        found[code] = opening, debits, credits, to_date
    return found | ({"": (former, 0, 0, 0)} if former else {})


@settings(
    max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    closed=st.sets(st.integers(-10, 760), max_size=5),
    first=st.integers(-400, 800),
    length=st.integers(0, 370),
    year_end=st.integers(1, 12),
)
def test_closed_and_open_days_give_the_figures_of_every_line(
    closed: set[int], first: int, length: int, year_end: int
) -> None:
    if not JournalLine.objects.exists():
        for day in SOLD_ON:
            sell(day)
    ClosingBalance.objects.all().delete()  # only a test database lets a day be opened again
    DailyClose.objects.all().delete()
    carry_balances(FIRST_DAY + timedelta(days=days) for days in closed)
    rules = rules_with((LONG_AGO, year_end))
    begin = FIRST_DAY + timedelta(days=first)
    end = min(begin + timedelta(days=length), rules.last_day_of_year(begin))
    period = any_days(begin, end)
    found = sheet(period, rules)
    assert {
        row.code: (row.opening, row.debit, row.credit, row.year_to_date) for row in found.rows
    } == recomputed(period, rules)
    assert sheet(period, rules, closing=account_balances(end)) == found
    assert_balanced(found)


def test_the_lines_of_closed_days_are_not_read(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for day in (date(2026, 11, 16), date(2026, 12, 31), date(2027, 1, 2)):
        sell(day)
    carry_balances(date(2026, 12, 31) + timedelta(days=days) for days in range(3))
    year = fiscal_year(date(2027, 1, 1), DECEMBER)
    before = sheet(any_days(year.first, date(2027, 1, 2)), DECEMBER)
    tamper("DELETE FROM ledger_journalline")
    with django_assert_num_queries(2):
        assert sheet(any_days(year.first, date(2027, 1, 2)), DECEMBER) == before


def test_a_sheet_takes_three_queries_and_two_when_its_end_is_known(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    sell(date(2025, 12, 31))
    sell(date(2026, 11, 16))
    with django_assert_num_queries(3):
        sheet(month(date(2026, 11, 16)), DECEMBER)
    carry_balances([date(2025, 12, 31), date(2026, 11, 16)])
    for days in range(3):
        sell(date(2026, 11, 17) + timedelta(days=days))
    with django_assert_num_queries(3):
        sheet(month(date(2026, 11, 16)), DECEMBER)
    closing = account_balances(date(2026, 11, 17))
    with django_assert_num_queries(2):
        sheet(one_day(date(2026, 11, 17)), DECEMBER, closing=closing)


# ── Tax included ─────────────────────────────────────────────────────────────────────────────────────────

GROSS = rules_with((LONG_AGO, 12), accounting=TaxStatus.Accounting.GROSS)


def test_with_tax_included_the_printed_sheet_has_no_accounts_of_tax(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    sell(date(2026, 11, 16))
    with django_assert_num_queries(4):
        found = printed_sheet(month(date(2026, 11, 16)), GROSS)
    assert found.is_gross
    assert {row.code: (row.debit, row.credit) for row in found.rows} == {
        "1150": (11_649, 3_000),
        "2130": (12_130, 12_130),
        "4110": (0, 10_545),
        "4111": (0, 1_035),
        "4120": (0, 550),
        "4190": (3_000, 0),
        "6111": (481, 0),
    }
    assert_balanced(found)
    assert closings(sheet(month(date(2026, 11, 16)), GROSS)) == WORKED  # the journal stays net


def test_the_tax_of_former_years_is_in_the_profit_of_former_years() -> None:
    sell(date(2025, 12, 31))
    sell(date(2026, 10, 1))
    sell(date(2026, 11, 16))
    found = printed_sheet(month(date(2026, 11, 16)), GROSS)
    assert openings(found)[""] == -(10_545 + 1_035 + 550 - 3_000 - 481)
    assert (openings(found)["4110"], closings(found)["4110"]) == (-10_545, -21_090)
    assert not {"1410", "2150", "2151"} & openings(found).keys()
    assert_balanced(found)


def test_the_tax_of_lines_that_do_not_know_it_moves_by_class() -> None:
    sell(date(2026, 11, 16))
    tamper("UPDATE ledger_journalline SET tax_class = NULL, tax_rate = NULL, tax = NULL")
    found = printed_sheet(month(date(2026, 11, 16)), GROSS)
    assert closings(found) == {
        "1150": 8_649,
        "2130": 0,
        "4110": -9_587 - 1_008,
        "4111": -1_035,
        "4120": -500,
        "4190": 3_000,
        "6111": 481,
    }
    assert_balanced(found)


def test_tax_posted_while_the_books_were_net_of_tax_stays_a_debt() -> None:
    net, gross = DECEMBER.statuses[0], GROSS.statuses[0]
    gross = TaxStatus(
        from_day=date(2026, 11, 1), fiscal_year_end=12, liability=gross.liability, accounting=gross.accounting
    )
    rules = TaxRules((net, gross), ())
    sell(date(2025, 12, 31))
    sell(date(2026, 10, 31))
    sell(date(2026, 11, 1))
    found = printed_sheet(month(date(2026, 11, 1)), rules)
    assert closings(found)["2150"] == 2 * WORKED["2150"]
    assert closings(found)["4110"] == -9_587 - 10_545
    assert openings(found)[""] == -7_881
    assert_balanced(found)
    assert not printed_sheet(month(date(2026, 10, 1)), rules).is_gross


def test_years_after_the_one_with_tax_included_are_not_named_so() -> None:
    gross, net = GROSS.statuses[0], DECEMBER.statuses[0]
    net = TaxStatus(
        from_day=date(2027, 1, 1), fiscal_year_end=12, liability=net.liability, accounting=net.accounting
    )
    rules = TaxRules((gross, net), ())
    sell(date(2026, 12, 31))
    sell(date(2027, 1, 1))
    assert printed_sheet(month(date(2026, 12, 1)), rules).is_gross
    found = printed_sheet(month(date(2027, 1, 1)), rules)
    assert (found.is_gross, closings(found)["4110"], closings(found)["2150"]) == (
        False,
        -9_587,
        WORKED["2150"],
    )
    assert_balanced(found)


def test_an_exempt_merchant_has_no_tax_to_include() -> None:
    exempt = TaxStatus(
        from_day=LONG_AGO, fiscal_year_end=12, liability=TaxStatus.Liability.EXEMPT, accounting="gross"
    )
    sell(date(2026, 11, 16))
    assert not printed_sheet(month(date(2026, 11, 16)), TaxRules((exempt,), ())).is_gross
