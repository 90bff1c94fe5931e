"""Forty customers, ten pieces: exactly ten are sold, and thirty are told so."""

from collections import Counter

import pytest
from django.db.models import Sum
from django.utils import timezone

from ledger.models import Order, OrderLine, StockItem
from ledger.sales.orders import SoldOut
from ledger.testing import build
from ledger.testing.processes import Together, crowd

pytestmark = pytest.mark.django_db(transaction=True)


def test_forty_processes_buy_ten_pieces_and_ten_of_them_get_one() -> None:
    lamp = build.line("CL-08", on_hand=10)

    def buy(_number: int, together: Together) -> str:
        together()
        try:
            return build.order([lamp]).number
        except SoldOut as refusal:
            return f"sold out: {refusal}"

    told = Counter("sold" if answer.startswith("K") else answer for answer in crowd(40, buy))
    assert told == {"sold": 10, "sold out: CL-08": 30}
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (10, 10)
    assert Order.objects.count() == OrderLine.objects.count() == 10


def test_carts_of_two_items_in_opposite_order_neither_oversell_nor_wait_for_each_other() -> None:
    lamp, desk = build.line("CL-08", on_hand=6), build.line("DESK", price=5_000, on_hand=8)

    def buy(number: int, together: Together) -> bool:
        together()
        try:
            build.order([lamp, desk] if number % 2 else [desk, lamp])
        except SoldOut:
            return False
        return True

    assert sum(crowd(16, buy)) == 6
    assert sorted(StockItem.objects.values_list("sku", "reserved")) == [("CL-08", 6), ("DESK", 6)]
    assert OrderLine.objects.aggregate(sum=Sum("reserved"))["sum"] == 12


def test_the_button_pressed_in_eight_processes_places_one_order() -> None:
    lamp = build.line("CL-08", on_hand=10)

    def press(_number: int, together: Together) -> int:
        together()
        return build.order([lamp], nonce="the-same-form", now=timezone.now()).pk

    assert len(set(crowd(8, press))) == 1
    assert StockItem.objects.get().reserved == 1
