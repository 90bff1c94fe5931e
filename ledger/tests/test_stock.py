"""Stock: nothing is reserved twice, and the quantity on hand is the sum of the movements."""

from collections.abc import Callable

import pytest
from django.db import connection, connections
from django.db.models import Sum
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kikaku.testing.database import examples
from ledger.models import StockItem, StockMovement
from ledger.sales import stock
from ledger.testing import build
from ledger.testing.threads import run_in_threads


@pytest.mark.django_db
def test_all_pieces_or_none_are_reserved_and_the_missing_skus_are_named() -> None:
    enough, few = build.item("A", 5), build.item("B", 1)
    with pytest.raises(stock.SoldOut) as refusal:
        stock.reserve({enough.pk: 2, few.pk: 2})
    assert refusal.value.skus == ("B",)
    enough.refresh_from_db()
    assert enough.reserved == 0


@pytest.mark.django_db
def test_shipped_pieces_are_neither_on_hand_nor_reserved() -> None:
    item = build.item("A", 5)
    stock.reserve({item.pk: 3})
    for _twice in range(2):
        stock.commit(item.pk, 2, source="shipment_line:1", actor="staff", now=timezone.now())
    item.refresh_from_db()
    assert (item.on_hand, item.reserved, item.available) == (3, 1, 2)


@pytest.mark.django_db
def test_releasing_more_than_is_reserved_is_refused() -> None:
    item = build.item("A", 5)
    stock.reserve({item.pk: 1})
    with pytest.raises(stock.StockRefused):
        stock.release({item.pk: 2})
    item.refresh_from_db()
    assert item.reserved == 1


@pytest.mark.django_db
def test_a_count_below_the_reserved_quantity_is_refused() -> None:
    item = build.item("A", 5)
    stock.reserve({item.pk: 3})
    with pytest.raises(stock.StockRefused):
        stock.adjust(
            item,
            on_hand=2,
            source="count:1",
            actor="staff",
            now=timezone.now(),
            reason="count",
            note="counted",
        )
    stock.adjust(
        item, on_hand=4, source="count:1", actor="staff", now=timezone.now(), reason="count", note="counted"
    )
    stock.adjust(
        item, on_hand=4, source="count:1", actor="staff", now=timezone.now(), reason="count", note="counted"
    )
    stock.adjust(
        item, delta=-1, source="count:2", actor="staff", now=timezone.now(), reason="count", note="broken"
    )
    item.refresh_from_db()
    assert item.on_hand == 3
    assert list(item.movements.order_by("pk").values_list("quantity", flat=True)) == [5, -1, -1]


@pytest.mark.django_db
def test_the_same_receipt_twice_is_received_once() -> None:
    item = build.item("A", 0)
    for _twice in range(2):
        stock.receive(item, 7, source="delivery:1", actor="staff", now=timezone.now())
    item.refresh_from_db()
    assert item.on_hand == 7
    with pytest.raises(stock.StockRefused):
        stock.receive(item, 0, source="delivery:2", actor="staff", now=timezone.now())


@pytest.mark.django_db
def test_many_new_items_are_received_in_a_few_statements(
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    items = [StockItem.objects.create(sku=f"S{number}") for number in range(60)]
    with django_assert_max_num_queries(8):  # type: ignore[attr-defined]
        stock.receive_many(
            {item.pk: 1 + item.pk % 3 for item in items}, source="opening", actor="demo", now=timezone.now()
        )
    assert all(item.on_hand == 1 + item.pk % 3 for item in StockItem.objects.all())


@pytest.mark.django_db(transaction=True)
def test_concurrent_reservations_get_no_more_than_is_available() -> None:
    item = build.item("LAST", 2)
    results = run_in_threads(*[lambda: stock.reserve({item.pk: 1})] * 5)
    assert sum(isinstance(result, stock.SoldOut) for result in results) == 3
    assert sum(result is None for result in results) == 2
    item.refresh_from_db()
    assert (item.on_hand, item.reserved) == (2, 2)


@pytest.mark.django_db(transaction=True)
def test_reservations_of_the_same_items_in_opposite_order_do_not_deadlock() -> None:
    one, two = build.item("A", 100), build.item("B", 100)
    results = run_in_threads(
        *[lambda: stock.reserve({one.pk: 1, two.pk: 1}), lambda: stock.reserve({two.pk: 1, one.pk: 1})] * 3
    )
    assert results == [None] * 6


MOVEMENTS = st.lists(
    st.tuples(
        st.sampled_from(["receive", "reserve", "release", "commit", "take_back", "adjust"]), st.integers(1, 6)
    ),
    max_size=25,
)


@pytest.mark.django_db
@settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(movements=MOVEMENTS)
def test_after_any_movements_on_hand_is_their_sum_and_covers_what_is_reserved(
    movements: list[tuple[str, int]],
) -> None:
    now = timezone.now()
    item = StockItem.objects.create(sku=f"H{StockItem.objects.count()}-{StockMovement.objects.count()}")
    on_hand = reserved = 0
    for step, (move, quantity) in enumerate(movements):
        source = f"step:{step}"
        try:
            if move == "receive":
                stock.receive(item, quantity, source=source, actor="", now=now)
                on_hand += quantity
            elif move == "reserve":
                stock.reserve({item.pk: quantity})
                reserved += quantity
            elif move == "release":
                stock.release({item.pk: quantity})
                reserved -= quantity
            elif move == "commit":
                stock.commit(item.pk, quantity, source=source, actor="", now=now)
                on_hand, reserved = on_hand - quantity, reserved - quantity
            elif move == "take_back":
                stock.take_back(item.pk, quantity, source=source, actor="", now=now)
                on_hand += quantity
            else:
                stock.adjust(
                    item, delta=-quantity, source=source, actor="", now=now, reason="disposal", note=""
                )
                on_hand -= quantity
        except (stock.SoldOut, stock.StockRefused):
            pass
    item.refresh_from_db()
    assert (item.on_hand, item.reserved) == (on_hand, reserved)
    assert 0 <= item.reserved <= item.on_hand
    assert (item.movements.aggregate(sum=Sum("quantity"))["sum"] or 0) == item.on_hand


def test_the_threads_of_these_tests_have_connections_of_their_own() -> None:
    here = connection
    assert run_in_threads(lambda: connections["default"] is here) == [False]
