"""Which orders still have money in 2130 and 2120, since when: over 60 and 45 days a person is asked."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.open_balances import old_balances, open_balances
from ledger.models import Order
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, WEDNESDAY, at, set_clock
from ledger.testing.konbini import order_with_voucher, pay

PAGE = reverse("admin:ledger_order_open_balances")
FILE = reverse("admin:ledger_order_open_balances_csv")


@pytest.fixture
def orders(sandbox: Sandbox) -> tuple[Order, Order]:
    """Return an order paid on Monday and not shipped, and one whose refund waits since Tuesday."""
    now = set_clock(sandbox, at(MONDAY))
    build.ship(build.paid_order(sandbox, [build.line("SHIPPED")], now=now), now=now)
    waits = build.paid_order(sandbox, now=now)
    refunded = order_with_voucher(sandbox, placed=build.order([build.line("CASH")], now=now))
    pay(sandbox, refunded, at(TUESDAY, 9))
    build.refund(refunded, 1_000, now=at(TUESDAY, 10))
    build.fetch(sandbox)
    return waits, refunded


@pytest.mark.django_db
def test_2130_is_old_after_60_days_and_2120_after_45(
    orders: tuple[Order, Order], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    waits, refunded = orders
    with django_assert_num_queries(1):
        found = open_balances(TUESDAY)
    assert [(each.account, each.number, each.since, each.days, each.amount) for each in found] == [
        (PREPAYMENTS, waits.number, MONDAY, 1, 11_500),
        (PREPAYMENTS, refunded.number, TUESDAY, 0, 10_500),
        (REFUNDS_PAYABLE, refunded.number, TUESDAY, 0, 1_000),
    ]
    assert [each.reason for each in found] == [
        "未発送",
        "返金先口座の入力待ち",
        "返金先口座の入力待ち",
    ]

    def old(day: date) -> list[tuple[str, str]]:
        return [(each.account, each.number) for each in old_balances(day)]

    assert old(TUESDAY + timedelta(days=45)) == []
    assert old(TUESDAY + timedelta(days=46)) == [(REFUNDS_PAYABLE, refunded.number)]
    assert (PREPAYMENTS, waits.number) not in old(MONDAY + timedelta(days=60))
    assert (PREPAYMENTS, waits.number) in old(MONDAY + timedelta(days=61))


@pytest.mark.django_db
def test_a_balance_counts_from_when_it_was_last_zero(sandbox: Sandbox, orders: tuple[Order, Order]) -> None:
    _waits, refunded = orders
    set_clock(sandbox, at(WEDNESDAY))
    sandbox.claim_refund(str(refunded.refunds.get().stripe_id))  # the customer gives a bank account
    set_clock(sandbox, at(WEDNESDAY, 13))
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert [each.account for each in open_balances(WEDNESDAY)] == [PREPAYMENTS, PREPAYMENTS]
    thursday = WEDNESDAY + timedelta(days=1)
    build.refund(refunded, 500, now=set_clock(sandbox, at(thursday)))
    owed = open_balances(thursday)[-1]
    assert (owed.account, owed.since, owed.amount) == (REFUNDS_PAYABLE, thursday, 500)


@pytest.mark.django_db
def test_the_page_and_the_file_list_them_with_what_the_books_have(
    orders: tuple[Order, Order], staff: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    waits, _refunded = orders
    with django_assert_max_num_queries(12):
        page = staff.get(f"{PAGE}?all").content.decode()
    assert waits.number in page and "全注文の残高 ¥22,000　帳簿の残高 ¥22,000" in page
    answer = staff.get(f"{FILE}?all")
    lines = answer.content.decode("utf-8-sig").split("\r\n")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert lines[0] == "科目,注文番号,顧客,発生日,経過日数,金額,理由"
    first = lines[1].split(",")
    assert (first[0], first[1], first[3], first[5:]) == (
        "2130 前受金",
        waits.number,
        str(MONDAY),
        ["11500", "未発送"],
    )
