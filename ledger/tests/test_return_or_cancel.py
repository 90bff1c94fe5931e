"""Refunds of orders that were shipped in part: staff say what is cancelled and what comes back."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from kikaku.sandbox import Sandbox
from ledger.closing import checks
from ledger.models import JournalEntry, Order, Refund, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales.refund_plan import refundable_by_side
from ledger.sales.refunds import RefundRefused, Side, SideMissing
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of
from ledger.testing.dashboard import refund_in_dashboard

pytestmark = pytest.mark.django_db


def partly_shipped(sandbox: Sandbox, *, shipped: int = 1) -> Order:
    """Return an order of 3 × ¥1,980 without a shipping fee, of which some pieces were shipped."""
    lines = [build.line("LAMP", price=1_980, quantity=3, on_hand=3)]
    order = build.paid_order(sandbox, lines, shipping_fee=0)
    build.ship(order, {order.lines.get().pk: shipped})
    build.fetch(sandbox)
    return order


def entry_of(sandbox: Sandbox, refund: Refund) -> dict[str, int]:
    """Return debit − credit by account of the entry of a refund's balance transaction."""
    build.fetch(sandbox)
    entry = JournalEntry.objects.filter(order=refund.order, purpose="refund").latest("pk")
    return {line.account_id: line.debit - line.credit for line in entry.lines.all()}


def pieces_of(order: Order) -> dict[str, int]:
    line, item = order.lines.get(), StockItem.objects.get()
    return {
        "cancelled": line.cancelled,
        "returned": line.returned,
        "to ship": line.shippable,
        "on hand": item.on_hand,
        "reserved": item.reserved,
    }


def test_a_shipped_piece_that_comes_back_is_a_return_though_others_are_not_shipped(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    assert pieces_of(order)["on hand"] == 2
    refund = build.refund(order, returns={order.lines.get().pk: 1}, restock=True)
    assert entry_of(sandbox, refund) == {"4190": 1_800, "2150": 180, "1150": -1_980}
    assert pieces_of(order) == {"cancelled": 0, "returned": 1, "to ship": 2, "on hand": 3, "reserved": 2}
    part = refund.lines.get()
    assert (part.quantity, part.returned, part.prepaid, part.recognised) == (1, 1, 0, 1_980)
    assert order.status == OrderStatus.PARTIALLY_SHIPPED


def test_the_same_piece_as_a_cancellation_leaves_prepayments_without_tax(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    refund = build.refund(order, cancel={order.lines.get().pk: 1}, restock=True)
    assert entry_of(sandbox, refund) == {"2130": 1_980, "1150": -1_980}
    assert pieces_of(order) == {"cancelled": 1, "returned": 0, "to ship": 1, "on hand": 2, "reserved": 1}
    part = refund.lines.get()
    assert (part.quantity, part.returned, part.prepaid, part.recognised) == (1, 0, 1_980, 0)


def test_one_refund_cancels_and_takes_back(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    pk = order.lines.get().pk
    refund = build.refund(order, cancel={pk: 1}, returns={pk: 1})
    assert entry_of(sandbox, refund) == {"2130": 1_980, "4190": 1_800, "2150": 180, "1150": -3_960}
    assert pieces_of(order) == {"cancelled": 1, "returned": 1, "to ship": 1, "on hand": 2, "reserved": 1}
    assert list(checks.check_everything()) == []


@pytest.mark.parametrize(
    ("side", "entry", "sold"),
    [
        (Side.SHIPPED, {"4190": 455, "2150": 45, "1150": -500}, 3_960),
        (Side.UNSHIPPED, {"2130": 500, "1150": -500}, 3_460),
    ],
)
def test_a_goodwill_is_taken_from_the_part_that_it_is_for(
    sandbox: Sandbox, side: Side, entry: dict[str, int], sold: int
) -> None:
    order = partly_shipped(sandbox)
    assert entry_of(sandbox, build.refund(order, 500, side=side)) == entry
    build.ship(order)
    parcel = JournalEntry.objects.filter(order=order, purpose="recognition").latest("pk")
    assert parcel.lines.get(account="2130").debit == sold
    assert list(checks.check_everything()) == []


def test_an_amount_of_an_order_shipped_in_part_must_say_what_it_is_for(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    for amount in (500, order.total):
        with pytest.raises(SideMissing):
            build.refund(order, amount)
    assert not order.refunds.exists()


def test_a_side_gives_no_more_than_it_has(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    assert refundable_by_side(order) == {Side.UNSHIPPED: 3_960, Side.SHIPPED: 1_980}
    for side, most in refundable_by_side(order).items():
        with pytest.raises(RefundRefused, match=f"{most:,}"):
            build.refund(order, most + 1, side=side)
    assert not order.refunds.exists()
    build.refund(order, 1_980, side=Side.SHIPPED)
    assert refundable_by_side(order) == {}
    assert build.refund(order, 500).lines.get().prepaid == 500  # only one side is left: nothing is asked


@pytest.mark.parametrize("shipped", [0, 3])
def test_nothing_is_asked_of_an_order_that_is_wholly_shipped_or_not_at_all(
    sandbox: Sandbox, shipped: int
) -> None:
    lines = [build.line("LAMP", price=1_980, quantity=3)]
    order = build.paid_order(sandbox, lines, shipping_fee=0)
    if shipped:
        build.ship(order)
    assert refundable_by_side(order) == {}
    part = build.refund(order, 500).lines.get()
    assert (part.prepaid, part.recognised) == ((0, 500) if shipped else (500, 0))
    wrong = Side.UNSHIPPED if shipped else Side.SHIPPED
    with pytest.raises(RefundRefused, match="¥0"):
        build.refund(order, 500, side=wrong)


def test_a_refund_in_the_dashboard_of_an_order_shipped_in_part_asks_nobody(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    refund_in_dashboard(order.payments.get(), 4_460)
    build.deliver(sandbox)
    part = order.refunds.get().lines.get()
    assert (part.prepaid, part.recognised) == (3_960, 500)


def test_a_line_gives_no_more_pieces_of_a_kind_than_it_has(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    pk = order.lines.get().pk
    for pieces in (3, -1):
        with pytest.raises(RefundRefused, match="未出荷の取消は 2 点まで"):
            build.refund(order, cancel={pk: pieces})
    for pieces in (2, -1):
        with pytest.raises(RefundRefused, match="出荷済みの返品・値引は 1 点まで"):
            build.refund(order, returns={pk: pieces})
    with pytest.raises(RefundRefused, match="別の注文"):
        build.refund(order, returns={pk + 99: 1})
    assert not order.refunds.exists()


def test_a_line_gives_no_more_money_of_a_kind_than_is_left(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    pk = order.lines.get().pk
    build.refund(order, 500, side=Side.SHIPPED)
    build.refund(order, 300, side=Side.UNSHIPPED)
    refund = build.refund(order, returns={pk: 1})
    assert entry_of(sandbox, refund) == {"4190": 1_345, "2150": 135, "1150": -1_480}
    rest = build.refund(order, cancel={pk: 2})
    assert entry_of(sandbox, rest) == {"2130": 3_660, "1150": -3_660}
    assert order.status == OrderStatus.SHIPPED
    assert list(checks.check_everything()) == []


def test_everything_is_refunded_with_all_pieces_of_both_kinds_and_the_fee(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(price=1_980, quantity=3)], shipping_fee=550)
    pk = order.lines.get().pk
    build.ship(order, {pk: 1})
    build.refund(order, 500, side=Side.UNSHIPPED)
    refund = build.refund(order, cancel={pk: 2}, returns={pk: 1}, include_shipping=True)
    assert refund.amount == order.total - 500
    assert (order.lines.get().cancelled, order.lines.get().returned) == (2, 1)


def test_pieces_that_are_not_those_of_the_refunds_are_found(sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    line = order.lines.get()
    refund = build.refund(order, returns={line.pk: 1})
    refund.lines.update(returned=0)
    assert [str(finding.check) for finding in checks.history.line_pieces(Order.objects.all())] == [
        "line_pieces"
    ]
    refund.lines.update(quantity=2, returned=1)
    assert len(list(checks.history.line_pieces(Order.objects.all()))) == 1


def test_the_form_asks_what_is_cancelled_and_what_comes_back_each_with_its_maximum(
    staff: Client, sandbox: Sandbox
) -> None:
    order = partly_shipped(sandbox)
    pk = order.lines.get().pk
    asked = staff.get(page_of(order, "refund"))
    page = asked.content.decode()
    assert "未出荷を取消" in page and "出荷済みの返品・値引" in page
    fields = asked.context["form"].fields
    assert (fields[f"cancel_{pk}"].max_value, fields[f"return_{pk}"].max_value) == (2, 1)
    data = fields_of(asked) | {"what": "pieces", f"cancel_{pk}": "1", f"return_{pk}": "1", "restock": "on"}
    shown = staff.post(page_of(order, "refund"), data)
    page = shown.content.decode()
    for text in (
        *("発送しません：シーリングライト LAMP × 1", "返品（棚に戻します）：シーリングライト LAMP × 1"),
        *("前受金から：¥1,980", "売上（税込）から：¥1,980", "¥3,960"),
    ):
        assert text in page, text
    assert not order.refunds.exists()
    assert staff.post(page_of(order, "refund"), fields_of(shown) | {"what": "pieces"}).status_code == 302
    assert pieces_of(order) == {"cancelled": 1, "returned": 1, "to ship": 1, "on hand": 3, "reserved": 1}
    timeline = staff.get(page_of(order)).content.decode()
    assert "未出荷を取消：シーリングライト LAMP × 1" in timeline
    assert "出荷済みの返品・値引：シーリングライト LAMP × 1" in timeline


def test_the_form_refuses_more_pieces_than_there_are(staff: Client, sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    pk = order.lines.get().pk
    data = fields_of(staff.get(page_of(order, "refund"))) | {"what": "pieces"}
    for wrong in ({f"cancel_{pk}": "3"}, {f"return_{pk}": "2"}, {f"return_{pk}": "-1"}):
        assert staff.post(page_of(order, "refund"), data | wrong).status_code == 422
    assert not order.refunds.exists()


def test_the_form_asks_what_an_amount_is_for(staff: Client, sandbox: Sandbox) -> None:
    order = partly_shipped(sandbox)
    asked = staff.get(page_of(order, "refund"))
    page = asked.content.decode()
    assert "未出荷分の取消・値引（¥3,960まで）" in page and "出荷済み分の値引（¥1,980まで）" in page
    data = fields_of(asked) | {"what": "amount", "amount": "500"}
    refused = staff.post(page_of(order, "refund"), data)
    assert refused.status_code == 422
    assert "side" in refused.context["form"].errors
    shown = staff.post(page_of(order, "refund"), data | {"side": "shipped"})
    assert "売上（税込）から：¥500" in shown.content.decode()
    confirmed = fields_of(shown) | {"what": "amount", "side": "shipped"}
    assert staff.post(page_of(order, "refund"), confirmed).status_code == 302
    assert order.refunds.get().lines.get().recognised == 500


def test_the_form_asks_only_what_is_possible(
    staff: Client, sandbox: Sandbox, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    order = build.paid_order(sandbox, [build.line("LAMP", quantity=2)])
    pk = order.lines.get().pk
    with django_assert_max_num_queries(31):
        before = staff.get(page_of(order, "refund"))
    assert {f"cancel_{pk}"} == set(before.context["form"].fields) & {f"cancel_{pk}", f"return_{pk}", "side"}
    assert "restock" not in before.context["form"].fields
    assert "出荷済みの返品・値引" not in before.content.decode()
    build.ship(order)
    after = staff.get(page_of(order, "refund"))
    assert {f"return_{pk}"} == set(after.context["form"].fields) & {f"cancel_{pk}", f"return_{pk}", "side"}
    assert "未出荷を取消" not in after.content.decode()
