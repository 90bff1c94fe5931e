"""What a customer reads about limits: of unpaid orders, of vouchers, and how many pieces there are."""

from typing import Any

import pytest
from django.test import Client

from kikaku.sandbox import Sandbox
from ledger.models import Order, OrderAllowance, StockItem
from shop.testing import build

pytestmark = pytest.mark.django_db


def confirmation(client: Client, quantity: int = 1) -> str:
    """Fill the cart, type the address, and return the final confirmation."""
    build.fill_cart(client, ("SKU-madoka", quantity))
    build.type_address(client)
    return client.get("/checkout/confirm/").content.decode()


def place(client: Client, quantity: int = 1) -> Any:
    """Order pieces and return the answer to the last form."""
    page = confirmation(client, quantity)
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    return client.post("/checkout/place/", fields)


def test_the_fourth_unpaid_order_is_refused_with_what_to_do(client: Client, sandbox: Sandbox) -> None:
    build.product(on_hand=100)
    for _order in range(3):
        assert "/c/pay/" in place(client)["Location"]
    page = client.get(place(client)["Location"]).content.decode()
    assert "お支払い前のご注文が 3 件あります" in page
    assert "35 分で自動的に取り消されます" in page  # they have no mail with a link to the other orders
    assert "大口のご注文はお問い合わせください" in page
    assert Order.objects.count() == 3
    assert not Order.objects.exclude(client=Order.objects.earliest("pk").client).exists()
    assert "127.0.0.1" not in str(Order.objects.earliest("pk").client)
    OrderAllowance.objects.create(email=Order.objects.earliest("pk").email, note="見本市")
    assert "/c/pay/" in place(client)["Location"]


def test_the_confirmation_offers_cards_only_for_more_than_a_third_of_the_stock(client: Client) -> None:
    build.product(on_hand=30)
    StockItem.objects.exclude(sku="SKU-madoka").update(on_hand=30)
    assert "コンビニ払いではお取り置きできません" not in confirmation(client, 10)
    page = confirmation(client, 1)  # eleven in the cart
    assert "コンビニ払いではお取り置きできません" in page
    assert "コンビニ払い（" not in page


def test_how_many_pieces_there_are_is_not_told_above_a_handful(client: Client) -> None:
    build.product(on_hand=3_791)
    build.fill_cart(client, ("SKU-madoka", 4_000))
    page = client.get("/cart/").content.decode()
    assert "ご希望の数量をご用意できません" in page
    assert "お問い合わせ" in page
    client.post("/cart/update/", {"take": "SKU-madoka"})  # the button is not there; the cart stays
    for shown in (page, client.get("/cart/").content.decode()):
        assert "3791" not in shown and "3,791" not in shown
    StockItem.objects.update(on_hand=5)
    assert "の在庫は残り 5 点です" in client.get("/cart/").content.decode()
