"""Placing an order: one transaction, one order per form, lines that never change later."""

import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection

from ledger.models import Order, OrderLine, StockItem
from ledger.sales import orders, stock
from ledger.sales.orders import OrderRefused
from ledger.testing import build
from ledger.testing.threads import run_in_threads


@pytest.mark.django_db
def test_the_worked_order_has_its_exact_totals() -> None:
    order = build.worked_order()
    assert (order.goods_total, order.discount, order.shipping_fee, order.total) == (12_080, 500, 550, 12_130)
    assert (order.tax_standard, order.tax_reduced) == (1_008, 76)
    assert list(order.lines.values_list("discount", "total")) == [(455, 10_545), (45, 1_035)]


@pytest.mark.django_db
def test_lines_are_snapshots_and_the_stock_is_reserved() -> None:
    order = build.order(
        [build.line("CL-08", price=5_000, quantity=3, title="シーリングライト 電球色", on_hand=4)]
    )
    line = order.lines.get()
    assert (line.sku, line.title, line.unit_price, line.quantity, line.reserved) == (
        "CL-08",
        "シーリングライト 電球色",
        5_000,
        3,
        3,
    )
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (4, 3)


@pytest.mark.django_db
def test_the_order_number_contains_the_business_day_and_the_token_is_long() -> None:
    order = build.order(now=datetime(2026, 11, 22, 15, 0, tzinfo=UTC))  # 00:00 on the 23rd in Tokyo
    assert re.fullmatch(r"K261123-[0-9A-HJKMNP-TV-Z]{5}", order.number)
    assert len(order.token) >= 32


@pytest.mark.django_db
def test_two_clicks_on_the_same_form_are_one_order() -> None:
    line = build.line()
    first, second = build.order([line], nonce="same"), build.order([line], nonce="same")
    assert first == second
    assert StockItem.objects.get().reserved == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_time_are_one_order() -> None:
    line = build.line(on_hand=10)
    placed = run_in_threads(*[lambda: build.order([line], nonce="same")] * 4)
    assert len({order.pk for order in placed if isinstance(order, Order)}) == 1, placed
    assert all(isinstance(order, Order) for order in placed)
    assert OrderLine.objects.count() == 1
    assert StockItem.objects.get().reserved == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_piece_is_sold_to_one_of_two_customers_and_the_other_gets_its_sku() -> None:
    line = build.line("LAST", on_hand=1)
    placed = run_in_threads(lambda: build.order([line]), lambda: build.order([line]))
    refused = [result for result in placed if isinstance(result, stock.SoldOut)]
    assert [refusal.skus for refusal in refused] == [("LAST",)]
    assert Order.objects.count() == 1


@pytest.mark.django_db
def test_a_sold_out_line_writes_nothing() -> None:
    plenty, none = build.line("A"), build.line("B", on_hand=0)
    with pytest.raises(stock.SoldOut):
        build.order([plenty, none])
    assert not Order.objects.exists()
    assert StockItem.objects.get(sku="A").reserved == 0


@pytest.mark.django_db
def test_the_same_item_on_two_lines_is_reserved_for_both() -> None:
    line = build.line("A", on_hand=3)
    with pytest.raises(stock.SoldOut):
        build.order([replace(line, quantity=2), replace(line, quantity=2)])
    build.order([replace(line, quantity=2), line])
    assert StockItem.objects.get().reserved == 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("price", "quantity", "shipping", "reason"),
    [
        (49, 1, 0, "below_minimum"),
        (9_999_999, 11, 0, "above_maximum"),
        (100, 0, 0, "quantity"),
        (100, 10_000, 0, "quantity"),
        (100, -1, 0, "quantity"),
    ],
)
def test_an_order_that_cannot_be_paid_is_refused_with_its_reason(
    price: int, quantity: int, shipping: int, reason: str
) -> None:
    line = build.line(price=price, quantity=quantity, on_hand=20)
    with pytest.raises(OrderRefused) as refusal:
        build.order([line], shipping_fee=shipping)
    assert refusal.value.reason == reason
    assert not Order.objects.exists()


@pytest.mark.django_db
def test_orders_of_the_smallest_and_the_largest_total_are_placed() -> None:
    assert build.order([build.line("A", price=50)], shipping_fee=0).total == 50
    assert build.order([build.line("B", price=9_999_999, quantity=10)], shipping_fee=9).total == 99_999_999


@pytest.mark.django_db
def test_an_empty_cart_and_a_discount_above_the_goods_are_refused() -> None:
    with pytest.raises(OrderRefused, match=r"."):
        build.order([])
    with pytest.raises(OrderRefused) as refusal:
        build.order([build.line(price=100)], discount=101)
    assert refusal.value.reason == "discount"


@pytest.mark.django_db
def test_numbers_are_unique_over_many_orders() -> None:
    line = build.line("A", price=100, on_hand=200)
    numbers = {build.order([line], nonce=secrets.token_hex(8)).number for _order in range(100)}
    assert len(numbers) == 100


@pytest.mark.django_db
def test_a_negative_price_is_refused_as_what_it_is() -> None:
    with pytest.raises(OrderRefused) as refused:
        build.order([replace(build.line(), unit_price=-1)])
    assert refused.value.reason == "price"


@pytest.mark.django_db(transaction=True)
def test_a_broken_constraint_is_not_taken_for_a_taken_order_number() -> None:
    build.order([build.line("A")])
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX one_line_per_sku ON ledger_orderline (sku)")
        try:
            with pytest.raises(IntegrityError):
                build.order([build.line("A")])
        finally:
            cursor.execute("DROP INDEX one_line_per_sku")
    assert Order.objects.count() == 1
    assert StockItem.objects.get().reserved == 1


@pytest.mark.django_db
def test_a_taken_order_number_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = build.order()
    drawn = iter([taken.number, "K261116-22222"])
    monkeypatch.setattr(orders, "_new_number", lambda _now: next(drawn))
    assert build.order().number == "K261116-22222"
