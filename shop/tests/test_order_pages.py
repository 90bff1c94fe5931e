"""The order page and the thank-you page in every state of an order."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from kikaku.sandbox import Request, Response, Sandbox
from ledger.models import CheckoutAttempt, Order, OutgoingMail, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales.cancellation import cancel
from ledger.testing import build
from ledger.testing.dashboard import refund_in_dashboard
from shop.testing import build as goods
from shop.testing.orders import page_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_pending_order_can_be_paid(client: Client, sandbox: Sandbox) -> None:
    order = build.order()
    page = page_of(client, order)
    assert "お支払いをお待ちしています" in page
    assert "¥11,500 を支払う" in page
    answer = client.post(f"/orders/{order.token}/pay/")
    assert answer.status_code == 303
    assert answer["Location"] == CheckoutAttempt.objects.get().url
    assert client.post(f"/orders/{order.token}/pay/")["Location"] == answer["Location"]


def test_a_paid_order_cannot_be_paid_again(client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    assert "を支払う" not in page_of(client, order)
    answer = client.post(f"/orders/{order.token}/pay/")
    assert answer["Location"] == f"/orders/{order.token}/"
    assert CheckoutAttempt.objects.count() == 1


def test_the_thank_you_page_refreshes_until_the_payment_event_arrives(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    waiting = page_of(client, order, "thanks/")
    assert "お支払いを確認しています" in waiting
    assert '<meta http-equiv="refresh" content="3;url=?n=1">' in waiting
    assert 'content="3;url=?n=1"' in page_of(client, order, "thanks/?n=x")
    CheckoutAttempt.objects.update(asked_at=timezone.now())  # Stripe did not say
    assert 'http-equiv="refresh"' not in page_of(client, order, "thanks/?n=40")
    build.deliver(sandbox)
    done = page_of(client, order, "thanks/")
    assert "ご注文ありがとうございます" in done
    assert "¥11,500 のお支払いを確認しました" in done
    assert 'http-equiv="refresh"' not in done


def test_the_page_follows_the_order_through_shipment_and_refund(client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(
        sandbox, [build.line(quantity=2), build.line("WATER", price=1_080, tax_class="reduced")]
    )
    page = page_of(client, order)
    assert "発送の準備をしています" in page
    assert "8% 対象 ¥1,080" in page
    assert "※" in page
    assert "•••• 4242" in page
    build.fetch(sandbox)
    line = order.lines.first()
    assert line is not None
    build.ship(order, {line.pk: 1})
    page = page_of(client, order)
    assert "一部の商品を発送しました" in page
    assert "1234-5678-9012" in page
    build.ship(order)
    assert "商品を発送しました" in page_of(client, order)
    build.refund(order, 1_000)
    build.deliver(sandbox)
    page = page_of(client, order)
    assert "¥1,000" in page
    assert "返金しました" in page


def test_an_expired_order_says_that_nothing_was_charged(client: Client, sandbox: Sandbox) -> None:
    order = build.order()
    Order.objects.filter(pk=order.pk).update(
        status="cancelled", cancel_reason="expired", cancelled_at=timezone.now()
    )
    page = page_of(client, order)
    assert "請求はありません" in page
    assert "を支払う" not in page
    answer = client.post(f"/orders/{order.token}/pay/")
    assert answer["Location"] == f"/orders/{order.token}/"
    assert "キャンセルされました" in page_of(client, order, "thanks/")


def test_a_customer_who_cancels_before_payment_is_told_that_nothing_was_charged(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    client.post(f"/orders/{order.token}/cancel/")
    page = page_of(client, order)
    assert "このご注文はキャンセルされました" in page
    assert "<p>請求はありません。</p>" in page


def test_the_thank_you_page_asks_stripe_once_when_the_event_does_not_arrive(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        sandbox.mark_delivered(delivery.event_id, 200)  # lost
    for refreshes in range(2):
        assert "お支払いを確認しています" in page_of(client, order, f"thanks/?n={refreshes}")
    assert "¥11,500 のお支払いを確認しました" in page_of(client, order, "thanks/?n=2")


def test_the_thank_you_page_of_an_open_page_asks_once_and_goes_on_waiting(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    build.session_of(order)
    seen: list[str] = []
    handle = sandbox.handle
    sandbox.handle = lambda request: (seen.append(request.target), handle(request))[1]  # type: ignore[method-assign, func-returns-value]
    for refreshes in range(8):
        assert "お支払いを確認しています" in page_of(client, order, f"thanks/?n={refreshes}")
    assert len(seen) == 1


def test_the_lines_of_a_cancelled_order_are_added_to_the_cart_once_at_current_prices(
    client: Client, sandbox: Sandbox
) -> None:
    lamp, gone = goods.product("lamp"), goods.product("gone")
    goods.fill_cart(client, ("SKU-lamp", 2), ("SKU-gone", 1))
    goods.type_address(client)
    page = client.get("/checkout/confirm/").content.decode()
    fields = {name: goods.hidden(page, name) for name in ("nonce", "fingerprint")}
    client.post("/checkout/place/", fields)
    order = Order.objects.get()
    cancel(order=order, reason="expired", actor="test", now=timezone.now())
    lamp.variants.update(price=9_990)
    gone.variants.update(retired=True)
    assert "同じ商品をカートに入れる" in page_of(client, order)
    for _click in range(2):
        assert client.post(f"/orders/{order.token}/again/")["Location"] == "/cart/"
    cart = client.get("/cart/").content.decode()
    assert 'name="q-SKU-lamp" id="line-1" value="2"' in cart
    assert "¥19,980" in cart
    assert "SKU-gone" not in cart
    assert client.get(f"/orders/{order.token}/again/").status_code == 405


@pytest.mark.parametrize("token", ["x", "a" * 32, "a" * 500, "..", "%00" * 24])
@pytest.mark.parametrize("tail", ["", "thanks/"])
def test_an_unknown_token_is_not_found(client: Client, token: str, tail: str) -> None:
    assert client.get(f"/orders/{token}/{tail}").status_code == 404


def test_an_order_page_takes_at_most_ten_queries_for_any_number_of_parcels(
    client: Client, sandbox: Sandbox, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=5)])
    line = order.lines.get()
    for _parcel in range(4):
        build.ship(order, {line.pk: 1})
    with django_assert_max_num_queries(10):
        page = page_of(client, order)
    assert page.count("1234-5678-9012") == 4


def test_the_order_page_is_available_in_english(client: Client, sandbox: Sandbox) -> None:
    order = build.order(language="en")
    page = client.get(f"/en/orders/{order.token}/").content.decode()
    assert "Your order waits for the payment" in page
    assert "花子 山田" in page


def test_the_page_says_what_could_not_be_sent_back_until_it_is_on_its_way_again(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.paid_order(sandbox, card="4000000000005126")
    build.refund(order, 2_000)
    build.deliver(sandbox)
    assert "¥2,000 の返金がまだ完了しておりません" not in page_of(client, order)
    later = build.now_of(sandbox) + timedelta(days=10)
    sandbox.clock = later.timestamp
    build.deliver(sandbox)
    assert "¥2,000 の返金がまだ完了しておりません" in page_of(client, order)
    build.refund(order, 2_000, now=later)
    assert "返金がまだ完了しておりません" not in page_of(client, order)


def test_a_cancellation_that_a_payment_and_its_refund_overtake_ends_without_an_error(
    client: Client, sandbox: Sandbox
) -> None:
    order = build.order()
    session = build.session_of(order)
    unpaid = [session]

    def pay_and_refund(request: Request, _response: Response) -> None:
        """Pay and refund while the cancellation asks for the state of the payment page."""
        if session in request.target and unpaid:
            sandbox.pay(unpaid.pop())
            build.deliver(sandbox)
            refund_in_dashboard(order.payments.get())
            build.deliver(sandbox)

    sandbox.observer = pay_and_refund
    answer = client.post(f"/orders/{order.token}/cancel/")
    assert not unpaid
    assert (answer.status_code, answer["Location"]) == (303, f"/orders/{order.token}/")
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "refunded")
    assert order.refunds.get().amount == order.total
    assert order.mails.filter(kind=OutgoingMail.Kind.CANCELLED).count() == 1
    assert StockItem.objects.get().reserved == 0
