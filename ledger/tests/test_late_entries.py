"""期ズレ一覧: what a period's end lacks because it was entered when its days were closed."""

from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from kikaku.days import business_day
from kikaku.sandbox import Sandbox
from ledger.books import periods
from ledger.books.tax_rules import load_tax_rules
from ledger.books.trial_balance import account_balances
from ledger.books.trial_sheet import printed_sheet
from ledger.closing import late_entries
from ledger.models import DailyClose, JournalEntry, JournalLine, Shipment, TaxStatus
from ledger.testing import build, company
from ledger.testing.closing import at, set_clock
from ledger.testing.tampering import tamper

pytestmark = pytest.mark.django_db

PAID_ON, YEAR_END, KEYED_ON = date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 4)
DECEMBER = periods.month(YEAR_END)


def close_until(day: date) -> None:
    """Close the days up to one."""
    DailyClose.objects.create(
        day=day,
        run=1,
        stripe_balance=0,
        book_balance=0,
        differences=0,
        manifest_sha256="0" * 64,
        closed_at=at(day + timedelta(days=1), 1),
    )


def ship_late(sandbox: Sandbox) -> Shipment:
    """Ship the worked order on 31 December, and enter it on 4 January, when the days before are closed."""
    now = set_clock(sandbox, at(PAID_ON))
    order = build.paid_order(sandbox, placed=build.worked_order(now=now), now=now)
    build.fetch(sandbox)
    close_until(KEYED_ON - timedelta(days=1))
    return build.ship(order, shipped_on=YEAR_END, now=set_clock(sandbox, at(KEYED_ON)))


def sides(lines: Any) -> dict[str, int]:
    """Return debit − credit by account."""
    return {line.code: line.debit - line.credit for line in lines}


SALE = {"2130": 12_130, "4110": -9_587, "4120": -500, "4111": -959, "2150": -1_008, "2151": -76}


def test_a_parcel_of_31_december_that_is_entered_in_january_is_what_december_lacks(sandbox: Sandbox) -> None:
    parcel = ship_late(sandbox)
    entry = JournalEntry.objects.get(source_type="shipment")
    assert (entry.day, business_day(entry.occurred_at)) == (KEYED_ON, YEAR_END)

    [kind] = late_entries.read(DECEMBER, load_tax_rules()).kinds
    [late] = kind.entries
    assert (late.occurred_on, late.day, late.voucher) == (YEAR_END, KEYED_ON, entry.voucher)
    assert (late.order_number, late.kind, late.counterparty) == (parcel.order.number, "出荷", "山田 花子")
    assert (late.amount, late.tax) == (12_130, 1_008 + 76)
    assert (late.proposal.day, sides(late.proposal.lines)) == (YEAR_END, SALE)
    back = late.proposal.reversed()
    assert (back.day, sides(back.lines)) == (date(2027, 1, 1), {code: -net for code, net in SALE.items()})
    assert late.proposal.total == back.total == 12_130
    assert (kind.name, kind.amount, kind.tax, sides(kind.proposal.lines)) == ("出荷", 12_130, 1_084, SALE)
    for other in (date(2026, 11, 30), KEYED_ON):
        assert late_entries.read(periods.month(other), load_tax_rules()).kinds == ()


@pytest.mark.parametrize(("year_end", "lacks"), [(12, SALE), (3, {})])
def test_it_is_late_for_the_fiscal_year_that_ends_on_31_december_alone(
    sandbox: Sandbox, year_end: int, lacks: dict[str, int]
) -> None:
    company.enter(from_day=date(2026, 1, 1), fiscal_year_end=year_end)
    ship_late(sandbox)
    rules = load_tax_rules()
    year = periods.fiscal_year(YEAR_END, rules)
    assert sides(late_entries.read(year, rules).lacking.lines) == lacks


@pytest.mark.parametrize("is_form_1", [False, True])
def test_with_tax_included_the_closing_entry_has_the_tax_in_the_accounts_of_the_sale(
    sandbox: Sandbox, is_form_1: bool, admin_client: Client
) -> None:
    company.enter(from_day=date(2026, 1, 1), fiscal_year_end=12, accounting=TaxStatus.Accounting.GROSS)
    ship_late(sandbox)
    if is_form_1:  # whose lines do not tell the tax of the shipping fee
        tamper("UPDATE ledger_journalline SET tax_class = NULL, tax_rate = NULL, tax = NULL")
    sales = {"4110": -10_595, "4120": -500} if is_form_1 else {"4110": -10_545, "4120": -550}
    sale = {"2130": 12_130, **sales, "4111": -1_035}
    rules = load_tax_rules()
    found = late_entries.read(DECEMBER, rules)
    [late] = found.kinds[0].entries
    assert sides(late.proposal.lines) == sides(found.lacking.lines) == sale
    assert sides(late.proposal.reversed().lines) == {code: -net for code, net in sale.items()}
    assert (found.is_gross, late.amount, late.tax, late.proposal.total) == (True, 12_130, 1_084, 12_130)
    shown = {row.code: row.closing for row in printed_sheet(periods.month(KEYED_ON), rules).rows}
    assert {code: shown[code] for code in ("4110", "4111", "4120")} == {**sales, "4111": -1_035}
    query = {"period": "month", "month": "2026-12"}
    page = admin_client.get(reverse("admin:ledger_journalentry_late"), query).content.decode()
    assert "税込経理（期末の仕訳は消費税等を各科目に含めて表示。仕訳帳は税抜）" in page and "2150" not in page


def test_the_list_adds_up_to_what_the_balances_of_31_december_lack(
    sandbox: Sandbox, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    now = set_clock(sandbox, at(PAID_ON))
    order = build.paid_order(sandbox, [build.line("A", quantity=2)], now=now)
    early = build.paid_order(sandbox, now=now)
    build.fetch(sandbox)
    build.ship(early, now=set_clock(sandbox, at(YEAR_END)))  # in time
    build.paid_order(sandbox, card="3566002020360505", now=at(YEAR_END))  # Stripe tells of it in January
    build.refund(early, 1_000, now=at(YEAR_END))
    close_until(YEAR_END)
    now = set_clock(sandbox, at(KEYED_ON))
    build.fetch(sandbox, now=now)
    build.ship(order, {order.lines.get().pk: 1}, shipped_on=YEAR_END, now=now)
    build.ship(order, now=now)  # of January

    rules = load_tax_rules()
    with django_assert_num_queries(3):
        found = late_entries.read(DECEMBER, rules)
    assert [(kind.name, len(kind.entries), kind.amount) for kind in found.kinds] == [
        ("出荷", 1, 11_500),
        ("入金・手数料", 1, 11_500),
        ("返金", 1, 1_000),
    ]
    belongs: Counter[str] = Counter()
    for line in JournalLine.objects.filter(entry__occurred_at__lt=at(YEAR_END, 24)):
        belongs[line.account_id] += line.debit - line.credit
    for code, balance in account_balances(YEAR_END).items():
        belongs[code] -= balance.net
    assert sides(found.lacking.lines) == {code: net for code, net in belongs.items() if net}
    together: Counter[str] = Counter()
    for kind in found.kinds:
        together.update(sides(kind.proposal.lines))
    assert sides(found.lacking.lines) == {code: net for code, net in together.items() if net}


def test_the_page_has_the_entries_to_copy_and_a_file_for_a_spreadsheet(
    sandbox: Sandbox, admin_client: Client
) -> None:
    parcel = ship_late(sandbox)
    address = reverse("admin:ledger_journalentry_late")
    query = {"period": "month", "month": "2026-12"}
    page = admin_client.get(address, query).content.decode()
    for text in (
        parcel.order.number,
        "2026-12-31",
        "2027-01-01",
        "2027-01-04",
        "前受金",
        "12,130",
        "9,587",
    ):
        assert text in page, text
    january = admin_client.get(address, {"period": "month", "month": "2027-01"}).content.decode()
    assert parcel.order.number not in january
    assert 'href="/admin/ledger/journalentry/late.csv?period=month&amp;month=2026-12"' in page
    answer = admin_client.get(reverse("admin:ledger_journalentry_late_csv"), query)
    assert answer.content.startswith("\ufeff出荷/発生日,計上日,伝票No,注文番号,".encode())
    _header, row, end = answer.content.decode("utf-8-sig").split("\r\n")
    voucher = JournalEntry.objects.get(source_type="shipment").voucher
    tax = "2150 仮受消費税等（標準税率） 1,008、2151 仮受消費税等（軽減税率） 76"
    sales = "4110 売上高（標準税率） 9,587、4111 売上高（軽減税率） 959、4120 売上高（送料） 500"
    assert row == (
        f"2026-12-31,2027-01-04,{voucher},{parcel.order.number},出荷,山田 花子,12130,1084,"
        f'"2026-12-31 2130 前受金 12,130 / {tax}、{sales}","2027-01-01 {tax}、{sales} / 2130 前受金 12,130"'
    )
    assert end == ""


def test_without_a_period_the_list_is_of_the_month_that_ended_last(admin_client: Client) -> None:
    ended = timezone.localdate().replace(day=1) - timedelta(days=1)
    page = admin_client.get(reverse("admin:ledger_journalentry_late")).content.decode()
    assert f"{ended.year}年{ended.month}月" in page and "該当する仕訳はありません" in page
