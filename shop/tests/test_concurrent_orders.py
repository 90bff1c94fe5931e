"""Forty customers in forty processes order ten pieces: ten get one, thirty get a page that says why."""

from collections import Counter

import pytest
from django.test import Client
from pytest_django import Settings

from ledger.models import CheckoutAttempt, Order, StockItem
from ledger.testing.processes import WaitForAll, run_concurrently
from shop.testing import build
from shop.testing.redirects import followed

pytestmark = pytest.mark.django_db(transaction=True)


def test_of_forty_simultaneous_orders_ten_get_the_ten_pieces(settings: Settings) -> None:
    settings.RATE_LIMITS = {}  # forty customers have one IP address and one e-mail
    settings.MAX_UNPAID_ORDERS = settings.MAX_ORDERS_PER_HOUR = 40
    build.product(on_hand=10)
    build.content_page()
    build.content_page("returns", "返品・交換について")

    def come_to_confirm() -> tuple[Client, str]:
        client = Client()
        build.fill_cart(client, ("SKU-madoka", 1))
        build.type_address(client)
        return client, client.get("/checkout/confirm/").content.decode()

    come_to_confirm()  # loads what the first request of a process loads, before the processes are forked

    def buy(number: int, wait_for_all: WaitForAll) -> str:
        client, page = come_to_confirm()
        fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
        wait_for_all()
        answer = client.post("/checkout/place/", fields)
        if "/c/pay/cs_test_" in answer["Location"]:
            return "sold"
        page = followed(client, answer)
        assert "売り切れ" in page or "在庫" in page
        return "refused"

    assert Counter(run_concurrently(40, buy)) == {"sold": 10, "refused": 30}
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (10, 10)
    assert Order.objects.count() == 10
    assert CheckoutAttempt.objects.filter(status=CheckoutAttempt.Status.OPEN).count() == 10
