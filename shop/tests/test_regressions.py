"""Regressions: faults of the shop's pages that an earlier implementation had."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from kikaku.sandbox import Sandbox
from ledger.models import Order
from ledger.sales import checkout
from ledger.testing.build import deliver, now_of
from shop.models import Product, Variant
from shop.testing import build

pytestmark = pytest.mark.django_db(transaction=True)  # the call to Stripe comes after the commit


def ordered() -> Order:
    """Order one lamp as a guest, in a client that enforces CSRF checks."""
    browser = Client(enforce_csrf_checks=True, headers={"Sec-Fetch-Site": "same-origin"})
    build.product(price=12_800, title="シーリングライト まどか")
    build.content_page()
    build.content_page("returns", "返品・交換について")
    build.fill_cart(browser, ("SKU-madoka", 1))
    build.type_address(browser)
    page = browser.get("/checkout/confirm/").content.decode()
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    answer = browser.post("/checkout/place/", fields)
    assert answer.status_code == 303, answer.content.decode()
    return Order.objects.get()


def test_a_guest_can_order_with_csrf_checks_enforced(sandbox: Sandbox) -> None:
    assert ordered().lines.get().sku == "SKU-madoka"


def test_the_payment_has_the_price_of_the_quote_and_not_the_current_price(sandbox: Sandbox) -> None:
    order = ordered()
    Variant.objects.update(price=99_000)
    checkout.start_payment(order, now=now_of(sandbox))
    sandbox.pay(str(order.attempts.get().session_id))
    deliver(sandbox)
    order.refresh_from_db()
    assert order.lines.get().unit_price == 12_800
    assert order.payments.get().amount == order.total < 20_000


def test_an_order_shows_the_title_at_the_time_of_the_order(sandbox: Sandbox) -> None:
    order = ordered()
    Product.objects.update(title_ja="改名された商品")
    page = Client().get(f"/orders/{order.token}/").content.decode()
    assert "シーリングライト まどか" in page
    assert "改名された商品" not in page


def test_a_signed_in_customer_cannot_open_the_admin(sandbox: Sandbox) -> None:
    order = ordered()
    customer = Client()
    customer.force_login(User.objects.create_user("hanako", "hanako@example.jp", "x"))
    for path in ("/admin/", "/admin/ledger/order/", f"/admin/ledger/order/{order.pk}/change/"):
        answer = customer.get(path)
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/admin/login/")
