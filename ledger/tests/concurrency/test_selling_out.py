"""More customers than pieces: each piece is sold once, and the other orders are refused."""

from collections import Counter
from dataclasses import replace

import pytest
from django.db.models import Sum
from django.utils import timezone

from ledger.models import CheckoutAttempt, Order, OrderLine, StockItem
from ledger.sales import checkout, orders
from ledger.sales.orders import SoldOut
from ledger.testing import build
from ledger.testing.processes import WaitForAll, run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_forty_orders_for_ten_pieces_ten_succeed() -> None:
    lamp = build.line("CL-08", on_hand=10)

    def buy(_number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        try:
            return build.order([lamp]).number
        except SoldOut as refusal:
            return f"sold out: {refusal}"

    outcomes = Counter("sold" if answer.startswith("K") else answer for answer in run_concurrently(40, buy))
    assert outcomes == {"sold": 10, "sold out: CL-08": 30}
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (10, 10)
    assert Order.objects.count() == OrderLine.objects.count() == 10


def test_carts_with_items_in_opposite_order_neither_oversell_nor_deadlock() -> None:
    lamp, desk = build.line("CL-08", on_hand=6), build.line("DESK", price=5_000, on_hand=8)

    def buy(number: int, wait_for_all: WaitForAll) -> bool:
        wait_for_all()
        try:
            build.order([lamp, desk] if number % 2 else [desk, lamp])
        except SoldOut:
            return False
        return True

    assert sum(run_concurrently(16, buy)) == 6
    assert sorted(StockItem.objects.values_list("sku", "reserved")) == [("CL-08", 6), ("DESK", 6)]
    assert OrderLine.objects.aggregate(sum=Sum("reserved"))["sum"] == 12


def test_of_twelve_orders_of_one_customer_at_once_three_are_placed() -> None:
    lamp = build.line("CL-08", on_hand=20)

    def buy(number: int, wait_for_all: WaitForAll) -> str:
        wait_for_all()
        by_email = number % 2 == 0
        try:
            return orders.place_order(
                nonce=f"the-form-of-process-{number}",
                language="ja",
                lines=[lamp],
                address=replace(build.ADDRESS, email="a@example.jp" if by_email else f"{number}@example.jp"),
                discount=0,
                shipping_fee=500,
                now=timezone.now(),
                client=f"client {number}" if by_email else "one client",
            ).number
        except orders.OrderRefused as refusal:
            return refusal.reason

    answers = run_concurrently(12, buy)
    for half in (answers[::2], answers[1::2]):
        assert Counter(answer if answer == "unpaid_orders" else "placed" for answer in half) == {
            "placed": 3,
            "unpaid_orders": 3,
        }
    assert StockItem.objects.get().reserved == Order.objects.count() == 6


@pytest.mark.usefixtures("sandbox")
def test_of_twelve_payment_pages_opened_at_once_a_third_of_the_stock_is_offered_to_vouchers() -> None:
    lamp, desk = build.line("CL-08", on_hand=12), build.line("DESK", price=5_000, on_hand=12)
    placed = [build.order([lamp, desk] if number % 2 else [desk, lamp]) for number in range(12)]

    def open_page(number: int, wait_for_all: WaitForAll) -> bool:
        wait_for_all()
        checkout.start_payment(placed[number], now=timezone.now())
        return bool(CheckoutAttempt.objects.get(order=placed[number]).offers_vouchers)

    assert sum(run_concurrently(12, open_page)) == 4
    assert CheckoutAttempt.objects.filter(offers_vouchers=True).count() == 4


def test_a_form_submitted_by_eight_processes_places_one_order() -> None:
    lamp = build.line("CL-08", on_hand=10)

    def submit(_number: int, wait_for_all: WaitForAll) -> int:
        wait_for_all()
        return build.order([lamp], nonce="the-same-form", now=timezone.now()).pk

    assert len(set(run_concurrently(8, submit))) == 1
    assert StockItem.objects.get().reserved == 1
