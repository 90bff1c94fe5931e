"""The ledger of an account: what is carried, each line with the account on the other side, the sums."""

from datetime import date

import pytest
from pytest_django import DjangoAssertNumQueries

from ledger.books.general_ledger import LedgerRow, RowKind, read_ledgers
from ledger.books.periods import Period, any_days, fiscal_year, month
from ledger.books.trial_sheet import PeriodAcrossYears, sheet
from ledger.models import JournalEntry
from ledger.testing.entries import carry_balances, post_capture, post_return, post_shipment, rules_with

pytestmark = pytest.mark.django_db

DECEMBER = rules_with((date(2019, 10, 1), 12))
Cells = tuple[str, str, int | None, int | None, int]
NOVEMBER = month(date(2026, 11, 1))


def cells(row: LedgerRow) -> Cells:
    """Return what a reader compares: the text, the other side, debit, credit and balance."""
    text = str(row.day) if row.kind == RowKind.LINE else row.text
    return text, row.contra, row.debit, row.credit, row.balance


def ledger(account: str, period: Period = NOVEMBER) -> list[Cells]:
    """Return the cells of an account's ledger."""
    return [cells(row) for row in read_ledgers(period, DECEMBER, account)]


@pytest.fixture
def three_months() -> None:
    """Sell the worked order in December, October and twice in November."""
    for day in (date(2025, 12, 31), date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 30)):
        post_capture(day)
        post_shipment(day)
    post_return(date(2026, 11, 30))


def test_sales_begin_anew_with_the_year_and_a_balance_carries_on(three_months: None) -> None:
    assert ledger("4110") == [
        ("繰越", "", None, None, 9_587),
        ("2026-11-01", "2130 前受金", 0, 9_587, 19_174),
        ("2026-11-30", "2130 前受金", 0, 9_587, 28_761),
        ("11月計", "", 0, 19_174, 28_761),
        ("累計", "", 0, 28_761, 28_761),
    ]
    assert ledger("1150") == [
        ("繰越", "", None, None, 23_298),
        ("2026-11-01", "2130 前受金", 11_649, 0, 34_947),
        ("2026-11-30", "2130 前受金", 11_649, 0, 46_596),
        ("2026-11-30", "諸口", 0, 3_000, 43_596),
        ("11月計", "", 23_298, 3_000, 43_596),
        ("累計", "", 34_947, 3_000, 43_596),
    ]


def test_several_accounts_on_the_other_side_are_sundry(three_months: None) -> None:
    assert {row[1] for row in ledger("2130") if row[1]} == {"諸口"}
    assert {row[1] for row in ledger("6111") if row[1]} == {"2130 前受金"}


def test_a_year_has_the_sums_of_each_month_that_has_lines(three_months: None) -> None:
    rows = list(read_ledgers(fiscal_year(date(2026, 11, 1), DECEMBER), DECEMBER, "4110"))
    assert [(row.text, row.credit, row.balance) for row in rows if row.kind != RowKind.LINE] == [
        ("繰越", None, 0),
        ("10月計", 9_587, 9_587),
        ("累計", 9_587, 9_587),
        ("11月計", 19_174, 28_761),
        ("累計", 28_761, 28_761),
    ]


def test_the_sums_of_a_part_of_a_month_name_its_days(three_months: None) -> None:
    rows = ledger("4110", any_days(date(2026, 11, 2), date(2026, 11, 30)))
    assert ("11月計（2日〜30日）", "", 0, 9_587, 28_761) in rows
    assert rows[-1] == ("累計", "", 0, 28_761, 28_761)


def test_a_line_names_its_voucher(three_months: None) -> None:
    row = next(row for row in read_ledgers(NOVEMBER, DECEMBER, "4110") if row.kind == RowKind.LINE)
    entry = JournalEntry.objects.get(purpose="recognition", day=date(2026, 11, 1))
    assert (row.entry_id, row.voucher, row.text) == (
        entry.pk,
        entry.voucher,
        "出荷 K20261116-ABCDE 山田 花子",
    )


def test_the_ledgers_of_all_accounts_end_with_the_balances_of_the_sheet(
    three_months: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(4):
        rows = list(read_ledgers(NOVEMBER, DECEMBER))
    last = {row.account.code: row.balance for row in rows}
    found = sheet(NOVEMBER, DECEMBER)
    assert last == {row.code: row.written.closing for row in found.rows if row.code}
    carry_balances([date(2025, 12, 31), date(2026, 10, 31)])
    assert list(read_ledgers(NOVEMBER, DECEMBER)) == rows


def test_an_account_that_did_not_move_still_shows_what_it_carries(three_months: None) -> None:
    december = month(date(2026, 12, 1))
    assert ledger("1150", december) == [("繰越", "", None, None, 43_596)]
    assert ledger("6120", december) == [("繰越", "", None, None, 0)]
    assert "6120" not in {row.account.code for row in read_ledgers(december, DECEMBER)}


def test_a_period_in_two_fiscal_years_is_refused() -> None:
    with pytest.raises(PeriodAcrossYears):
        read_ledgers(any_days(date(2026, 12, 31), date(2027, 1, 1)), DECEMBER)
