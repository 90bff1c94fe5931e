"""Pages of an order that were opened before it changed: they do what was shown, or are shown again."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import Order, Refund, StockItem
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of
from ledger.testing.dashboard import refund_in_dashboard
from ledger.testing.konbini import order_with_voucher

pytestmark = pytest.mark.django_db
CHANGED = "ページを開いたあとに注文が変更されました"


def two_pieces(sandbox: Sandbox) -> Order:
    return build.paid_order(sandbox, [build.line("A", price=3_000, quantity=2)])


def test_a_refund_that_was_shown_before_a_shipment_is_shown_again(staff: Client, sandbox: Sandbox) -> None:
    order = two_pieces(sandbox)
    page = page_of(order, "refund")
    choice = {"what": "amount", "amount": "500"}
    shown = staff.post(page, fields_of(staff.get(page)) | choice)
    assert "前受金から" in shown.content.decode()
    build.ship(order)
    again = staff.post(page, fields_of(shown) | choice)
    assert again.status_code == 200
    assert CHANGED in again.content.decode()
    assert "売上（税込）から" in again.content.decode()
    assert not Refund.objects.exists()
    assert staff.post(page, fields_of(again) | choice).status_code == 302
    assert Refund.objects.get().lines.get().recognised == 500


def test_pieces_that_have_left_since_the_page_was_opened_are_not_cancelled(
    staff: Client, sandbox: Sandbox
) -> None:
    order = two_pieces(sandbox)
    page, name = page_of(order, "refund"), f"cancel_{order.lines.get().pk}"
    shown = staff.post(page, fields_of(staff.get(page)) | {"what": "pieces", name: "1"})
    assert "発送しません" in shown.content.decode()
    build.ship(order)
    again = staff.post(page, fields_of(shown) | {"what": "pieces"})
    assert again.status_code == 422
    assert name in again.context["form"].errors
    assert not Refund.objects.exists()


def test_a_refund_whose_pieces_go_back_on_the_shelf_is_another_one_than_was_shown(
    staff: Client, sandbox: Sandbox
) -> None:
    order = two_pieces(sandbox)
    build.ship(order)
    page = page_of(order, "refund")
    choice = {"what": "pieces", f"return_{order.lines.get().pk}": "1"}
    shown = staff.post(page, fields_of(staff.get(page)) | choice)
    again = staff.post(page, fields_of(shown) | choice | {"restock": "on"})
    assert again.status_code == 200
    assert "棚に戻します" in again.content.decode()
    assert not Refund.objects.exists()


def test_a_parcel_is_not_shipped_from_a_page_that_is_older_than_a_refund(
    staff: Client, sandbox: Sandbox
) -> None:
    order = two_pieces(sandbox)
    page = page_of(order, "ship")
    data = fields_of(staff.get(page)) | {f"line_{order.lines.get().pk}": "1"}
    build.refund(order, 1_000)
    again = staff.post(page, data)
    assert again.status_code == 422
    assert CHANGED in again.content.decode()
    assert not order.shipments.exists()
    data |= {"seen": fields_of(again)["seen"]}
    assert staff.post(page, data).status_code == 302
    assert order.shipments.count() == 1


def test_an_order_that_was_paid_since_the_page_was_opened_is_not_cancelled_as_unpaid(
    staff: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    session = build.session_of(order)
    page = page_of(order, "cancel")
    data = fields_of(staff.get(page))
    sandbox.pay(session)  # its event has not arrived: closing the payment page tells
    again = staff.post(page, data)
    assert CHANGED in again.content.decode()
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert "全額" in again.content.decode()
    staff.post(page, data | {"seen": fields_of(again)["seen"]})
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.get().amount == order.total


def test_an_order_whose_voucher_was_issued_meanwhile_is_shown_again(staff: Client, sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    page = page_of(order, "cancel")
    data = fields_of(staff.get(page))
    sandbox.choose_konbini(session)
    build.deliver(sandbox)
    assert CHANGED in staff.post(page, data).content.decode()
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


def test_cancelling_a_paid_order_says_what_becomes_of_its_money(
    staff: Client, sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    page = page_of(order, "cancel")
    answer = staff.post(page, fields_of(staff.get(page)), follow=True).content.decode()
    assert "Stripeが応答しません。¥11,500 の返金は" in answer
    totals = staff.get(page_of(order, "cancel")).content.decode()
    assert "返金手続き中 ¥11,500" in totals
    assert "返金済み ¥0" in totals


def test_a_refused_refund_of_a_cancelled_order_is_said_so(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    refund_in_dashboard(order.payments.get(), 500)  # its event has not arrived
    page = page_of(order, "cancel")
    answer = staff.post(page, fields_of(staff.get(page)), follow=True).content.decode()
    assert "Stripeが返金を拒否しました" in answer


def test_cancelling_a_konbini_order_says_that_stripe_asks_for_the_account(
    staff: Client, sandbox: Sandbox
) -> None:
    order = order_with_voucher(sandbox)
    sandbox.pay_voucher(str(order.attempts.get().session_id))
    build.deliver(sandbox)
    page = page_of(order, "cancel")
    answer = staff.post(page, fields_of(staff.get(page)), follow=True).content.decode()
    assert f"Stripeから {order.email} へ" in answer


def test_a_count_that_a_parcel_has_overtaken_is_asked_for_again(
    admin_client: Client, sandbox: Sandbox
) -> None:
    order = build.paid_order(sandbox, [build.line("A", quantity=2, on_hand=10)])
    item = StockItem.objects.get()
    page = reverse("admin:ledger_stockitem_count", args=[item.pk])
    missing_one = {"quantity": "9", "reason": "count", "note": "棚卸"}
    data = fields_of(admin_client.get(page)) | missing_one
    build.ship(order)
    again = admin_client.post(page, data)
    assert again.status_code == 422
    assert "在庫数が 8 に変わりました" in again.content.decode()
    item.refresh_from_db()
    assert item.on_hand == 8
    counted = fields_of(again) | {"quantity": "7", "reason": "count", "note": "棚卸"}
    for _click in range(2):
        assert admin_client.post(page, counted).status_code == 302
    item.refresh_from_db()
    assert item.on_hand == 7
    assert item.movements.filter(kind="adjustment").get().quantity == -1
