"""What unpaid orders may hold: a few orders for one customer, a share of an item's stock for all vouchers."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from kikaku.sandbox import MethodNotOffered, Sandbox
from ledger.models import CheckoutAttempt, Order, OrderAllowance, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, holds, orders
from ledger.testing import build
from ledger.testing.closing import set_clock
from ledger.testing.konbini import cancel, order_with_voucher

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def place(
    *, email: str = "hanako@example.jp", client: str | None = "a", quantity: int = 1, now: datetime = NOW
) -> Order:
    """Place an order as a customer's browser does."""
    return orders.place_order(
        nonce=secrets.token_hex(12),
        language="ja",
        lines=[build.line(quantity=quantity, on_hand=300)],
        address=replace(build.ADDRESS, email=email),
        discount=0,
        shipping_fee=500,
        now=now,
        client=client,
    )


def refusal(**how: str) -> str:
    """Return why another order is refused."""
    with pytest.raises(orders.OrderRefused) as refused:
        place(**how)  # type: ignore[arg-type]
    return refused.value.reason


def voucher_is_offered(order: Order) -> bool:
    """Return whether the order's payment page offers convenience stores."""
    checkout.start_payment(order, now=NOW)
    return bool(order.attempts.latest("pk").offers_vouchers)


# ── A customer's orders ──────────────────────────────────────────────────────────────────────────────────


def test_a_customer_has_three_unpaid_orders_at_once_by_e_mail_and_by_client() -> None:
    placed = [place(client=client) for client in "abc"]
    assert refusal(client="d", email="Hanako@Example.jp") == "unpaid_orders"
    for number in range(2):
        place(client="a", email=f"taro{number}@example.jp")
    assert refusal(client="a", email="jiro@example.jp") == "unpaid_orders"
    assert StockItem.objects.get().reserved == 5  # what was refused holds nothing
    Order.objects.filter(pk=placed[0].pk).update(status=OrderStatus.PAID)
    place(client="d")
    place(client="", email="jiro@example.jp")  # of an unknown client only the e-mail counts


def test_a_client_places_ten_orders_an_hour() -> None:
    for minute in range(10):
        order = place(email=f"m{minute}@example.jp", now=NOW + timedelta(minutes=minute))
        orders_of_now = NOW + timedelta(minutes=minute)
        cancellation.cancel(order=order, reason=Order.CancelReason.CUSTOMER, actor="x", now=orders_of_now)
    last = NOW + timedelta(minutes=59)
    with pytest.raises(orders.OrderRefused) as refused:
        place(email="one-more@example.jp", now=last)
    assert refused.value.reason == "orders_per_hour"
    place(email="one-more@example.jp", now=last, client="b")
    place(email="one-more@example.jp", now=last + timedelta(minutes=2))


def test_an_order_that_does_not_come_from_the_shops_pages_has_no_limit() -> None:
    for _order in range(12):
        place(client=None)


def test_the_same_form_returns_its_order_even_at_the_limit() -> None:
    nonces = [secrets.token_hex(12) for _order in range(3)]

    def submit(nonce: str) -> int:
        return orders.place_order(
            nonce=nonce,
            language="ja",
            lines=[build.line()],
            address=build.ADDRESS,
            discount=0,
            shipping_fee=500,
            now=NOW,
            client="a",
        ).pk

    assert [submit(nonce) for nonce in nonces] == [submit(nonce) for nonce in nonces]


def test_staff_lift_the_limits_for_one_customer(admin_client: Client, sandbox: Sandbox) -> None:
    set_clock(sandbox, NOW)
    for _order in range(3):
        place()
    assert refusal() == "unpaid_orders"
    url = reverse("admin:ledger_orderallowance_add")
    answer = admin_client.post(url, {"email": "Hanako@example.jp", "note": "電話で確認、見本市用"})
    assert answer.status_code == 302
    assert OrderAllowance.objects.get().note == "電話で確認、見本市用"
    assert voucher_is_offered(place(quantity=250))  # of 300: the vouchers of this customer have no cap either
    assert refusal(email="taro@example.jp") == "unpaid_orders"  # of the same client


# ── Vouchers ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("on_hand", "most"), [(0, 3), (2, 3), (9, 3), (11, 3), (12, 4), (310, 103)])
def test_vouchers_take_a_third_of_an_item_and_three_pieces_always(on_hand: int, most: int) -> None:
    assert holds.max_voucher_pieces(on_hand) == most


def test_beyond_a_third_an_order_is_offered_cards_only(sandbox: Sandbox) -> None:
    set_clock(sandbox, NOW)
    first, second, third = (build.order([build.line(quantity=n, on_hand=12)], now=NOW) for n in (3, 2, 1))
    assert voucher_is_offered(first)  # 3 of at most 4
    assert not voucher_is_offered(second)
    assert voucher_is_offered(third)
    session = str(second.attempts.get().session_id)
    with pytest.raises(MethodNotOffered):
        sandbox.choose_konbini(session)
    sandbox.pay(session)  # a card may take everything
    build.deliver(sandbox, now=NOW)
    second.refresh_from_db()
    assert second.status == OrderStatus.PAID


def test_a_large_voucher_order_is_offered_cards_only(sandbox: Sandbox) -> None:
    set_clock(sandbox, NOW)
    order = build.order([build.line(quantity=18, price=1_000, on_hand=20)], now=NOW)
    assert not voucher_is_offered(order)


def test_a_page_that_closed_or_was_paid_by_card_holds_nothing_for_vouchers(sandbox: Sandbox) -> None:
    set_clock(sandbox, NOW)
    lamp = build.line(quantity=3, on_hand=9)
    first = build.order([lamp], now=NOW)
    assert voucher_is_offered(first)
    assert not voucher_is_offered(build.order([lamp], now=NOW))
    sandbox.pay(str(first.attempts.get().session_id))
    build.deliver(sandbox, now=NOW)
    assert voucher_is_offered(build.order([lamp], now=NOW))


def test_a_released_voucher_makes_room_for_another(sandbox: Sandbox) -> None:
    lamp = build.line(quantity=3, on_hand=9)
    now = set_clock(sandbox, NOW)
    first = order_with_voucher(sandbox, placed=build.order([lamp], now=now), now=now)
    assert first.attempts.get().status == CheckoutAttempt.Status.WAITING
    assert not voucher_is_offered(build.order([lamp], now=now))
    cancel(first, now)
    assert voucher_is_offered(build.order([lamp], now=now))


def test_a_repeated_call_offers_the_same_methods(sandbox: Sandbox, settings: Settings) -> None:
    set_clock(sandbox, NOW)
    order = build.order([build.line(quantity=4, on_hand=9)], now=NOW)
    assert not voucher_is_offered(order)
    settings.VOUCHER_PIECES = 10
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.CREATED, session_id=None)
    checkout.start_payment(order, now=NOW)  # Stripe would refuse the key with other parameters
    assert order.attempts.get().status == CheckoutAttempt.Status.OPEN


def test_staff_see_which_orders_hold_an_item_and_until_when(admin_client: Client, sandbox: Sandbox) -> None:
    lamp = build.line(quantity=2, on_hand=9)
    now = set_clock(sandbox, NOW)
    order = order_with_voucher(sandbox, placed=build.order([lamp], now=now), now=now)
    paid = build.paid_order(sandbox, [lamp], now=now)
    item = StockItem.objects.get()
    page = admin_client.get(reverse("admin:ledger_stockitem_change", args=[item.pk])).content.decode()
    holders = page[page.index("引当先の注文") :]
    assert holders.index(order.number) < holders.index(paid.number)  # the unpaid ones first
    assert reverse("admin:ledger_order_change", args=[order.pk]) in holders
    assert order.email in holders
    assert "2 / 3" in page  # of at most three
