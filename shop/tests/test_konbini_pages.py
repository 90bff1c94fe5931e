"""The pages for a customer who pays by konbini: terms, voucher, expiry, cancellation."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt, Order, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import orders
from ledger.sales.cancellation import cancel
from ledger.testing import build
from shop.testing import build as goods
from shop.testing.orders import page_of

pytestmark = pytest.mark.django_db(transaction=True)


def with_voucher(sandbox: Sandbox, **how: Any) -> Order:
    """Return an order with an issued voucher."""
    order = build.order(**how)
    sandbox.choose_konbini(build.session_of(order))
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


def session_of(order: Order) -> str:
    """Return the id of the order's Checkout Session."""
    return str(order.attempts.get().session_id)


def confirmation(client: Client, price: int) -> str:
    """Return the confirmation page of an order of one lamp."""
    goods.product("lamp", price=price)
    goods.fill_cart(client, ("SKU-lamp", 1))
    goods.type_address(client)
    return client.get("/checkout/confirm/").content.decode()


def test_the_confirmation_names_both_methods_and_their_deadlines(client: Client) -> None:
    page = confirmation(client, 11_000)
    assert "クレジットカードまたはコンビニ払い" in page
    assert "3 日後の 23:59 まで" in page
    assert "有効時間は 35 分" in page


def test_above_300_000_yen_the_confirmation_offers_the_card_only(client: Client) -> None:
    page = confirmation(client, 300_001)
    assert "クレジットカードまたはコンビニ払い" not in page
    assert "合計 ¥120〜¥300,000 のご注文では、コンビニ払いもご利用いただけます" in page


def test_the_page_shows_the_vouchers_deadline_and_codes(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    attempt = order.attempts.get()
    for tail in ("", "thanks/"):
        page = page_of(client, order, tail)
        assert "コンビニでのお支払い方法" in page
        assert "23:59" in page
        assert "¥11,500" in page
        assert attempt.voucher_url in page
        assert "お支払いがない場合はどうなりますか" in page
        for chain, name in (("familymart", "ファミリーマート"), ("seicomart", "セイコーマート")):
            assert name in page
            assert attempt.voucher_codes[chain]["payment_code"] in page
        assert 'http-equiv="refresh"' not in page
    assert "を支払う" not in page_of(client, order)


def test_no_second_payment_page_is_opened(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    answer = client.post(f"/orders/{order.token}/pay/")
    assert answer["Location"] == f"/orders/{order.token}/"
    assert CheckoutAttempt.objects.count() == 1


def test_the_thank_you_page_reloads_until_the_voucher_is_known(client: Client, sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.choose_konbini(build.session_of(order))
    CheckoutAttempt.objects.update(status=CheckoutAttempt.Status.WAITING)  # the event without the voucher
    assert "お支払いを確認しています" in page_of(client, order)
    assert 'http-equiv="refresh"' in page_of(client, order, "thanks/")
    build.deliver(sandbox)
    assert "コンビニでのお支払い方法" in page_of(client, order, "thanks/")


def test_after_the_deadline_the_page_says_not_to_pay(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    CheckoutAttempt.objects.update(voucher_expires_at=timezone.now() - timedelta(minutes=1))
    for tail in ("", "thanks/"):
        page = page_of(client, order, tail)
        assert "お支払い期限を過ぎました" in page
        assert "お支払い受付番号" not in page.split("<details")[0]
        assert "コンビニエンスストアでお支払いください" not in page
        assert "支払いを確認後、発送します" not in page


def test_an_expired_order_offers_the_same_goods_again(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    sandbox.expire_voucher(session_of(order))
    build.deliver(sandbox)
    page = page_of(client, order)
    assert "請求はありません" in page
    assert "同じ商品をカートに入れる" in page


def test_a_payment_after_the_end_of_an_order_is_shown_as_charged(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    with transaction.atomic():
        orders.cancel_order(order, reason=Order.CancelReason.EXPIRED, actor="test", now=timezone.now())
    sandbox.pay_voucher(session_of(order))
    build.deliver(sandbox)
    page = page_of(client, order)
    assert "請求はありません" not in page
    assert "銀行口座" in page


def test_a_paid_order_shows_its_method_and_where_a_refund_goes(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    sandbox.pay_voucher(session_of(order))
    build.deliver(sandbox)
    page = page_of(client, order)
    assert "発送の準備をしています" in page
    assert "コンビニ払い" in page
    refund = build.refund(Order.objects.get(), 1_000)
    assert "振込先口座の入力をお待ちしています。hanako@example.jp" in page_of(client, order)
    sandbox.claim_refund(str(refund.stripe_id))
    sandbox.clock = (build.now_of(sandbox) + timedelta(minutes=1)).timestamp
    build.deliver(sandbox)
    assert "ご指定の銀行口座に返金しました" in page_of(client, order)


def test_a_customer_who_cancels_is_asked_not_to_pay(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    assert "この注文をキャンセルする" in page_of(client, order)
    for _click in range(2):
        answer = client.post(f"/orders/{order.token}/cancel/")
        assert answer["Location"] == f"/orders/{order.token}/"
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "customer")
    page = page_of(client, order)
    assert "お支払い受付番号でのお支払いはお控えください" in page
    assert "この注文をキャンセルする" not in page
    assert not order.mails.filter(kind="cancelled").exists()  # its address may be a stranger's
    sandbox.pay_voucher(session_of(order))
    build.deliver(sandbox)
    assert order.refunds.get().amount == order.total
    assert "お支払い額は銀行口座に返金します" in page_of(client, order)
    order.refunds.update(status=Refund.Status.SUCCEEDED)
    assert "お支払い額は返金しました" in page_of(client, order)


def test_a_customer_cannot_cancel_a_paid_order(client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    assert "この注文をキャンセルする" not in page_of(client, order)
    client.post(f"/orders/{order.token}/cancel/")
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert client.get(f"/orders/{order.token}/cancel/").status_code == 405


def test_without_an_answer_from_stripe_the_order_is_not_cancelled_and_the_page_says_why(
    client: Client, sandbox: Sandbox, settings: Settings
) -> None:
    order = build.order()
    build.session_of(order)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    answer = client.post(f"/orders/{order.token}/cancel/")
    assert answer["Location"].endswith("?cancel=unavailable")
    assert "キャンセルできませんでした" in page_of(client, order, "?cancel=unavailable")
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


def test_the_voucher_of_an_english_order_is_in_english(client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox, language="en")
    page = client.get(f"/en/orders/{order.token}/").content.decode()
    assert "How to pay at a convenience store" in page
    assert "23:59 JST" in page
    assert "FamilyMart" in page
    assert "convenience store" in order.mails.get().subject


def test_the_page_of_a_cancelled_konbini_order_names_the_bank_account(
    client: Client, sandbox: Sandbox
) -> None:
    order = with_voucher(sandbox)
    sandbox.pay_voucher(session_of(order))
    build.deliver(sandbox)
    cancel(order=order, reason="staff", actor="staff", now=timezone.now())
    assert "銀行口座に返金します" in page_of(client, order)
