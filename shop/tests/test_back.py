"""Each post is answered by a redirect, so Back never asks the browser for a page that it cannot repeat."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver

from kikaku.sandbox import Sandbox
from ledger.models import StockItem
from ledger.testing import build as books
from shop.testing import build
from shop.testing.checkout import confirmation, place
from shop.testing.redirects import followed

pytestmark = pytest.mark.django_db
TAKES_POSTS = {  # every address of the shop that takes a form, with something wrong in it
    "cart_add": ("/cart/add/", {"sku": "SKU-madoka", "quantity": "many"}),
    "cart_update": ("/cart/update/", {"q-SKU-madoka": "many"}),
    "checkout": ("/checkout/", build.TYPED_ADDRESS | {"email": "hanako"}),
    "checkout_place": ("/checkout/place/", {"nonce": "n" * 30, "fingerprint": "another"}),
    "contact": ("/contact/", {"name": "山田", "email": "hanako", "message": "秘密"}),
}
NONCE = re.compile(r'name="nonce" value="[^"]*"')
OF_AN_ORDER = {"order_pay", "order_cancel", "order_again"}


@pytest.fixture
def shopper(client: Client) -> Client:
    """Return a customer with a cart and a typed address."""
    build.product()
    build.content_page("returns", "返品・交換について")
    build.fill_cart(client, ("SKU-madoka", 1))
    build.type_address(client)
    return client


@pytest.mark.parametrize("name", TAKES_POSTS)
@pytest.mark.parametrize("data", ["wrong", "nothing"])
def test_a_refused_form_is_shown_by_a_page_that_can_be_repeated(
    shopper: Client, name: str, data: str
) -> None:
    path, wrong = TAKES_POSTS[name]
    answer = shopper.post(path, wrong if data == "wrong" else {})
    page, again = (NONCE.sub("", followed(shopper, answer)) for _time in range(2))
    assert page == again
    for private in ("hanako", "山田", "秘密", "%E5"):
        assert private not in answer["Location"]


@pytest.mark.parametrize("action", ["pay", "cancel", "again"])
def test_the_buttons_of_an_order_redirect(shopper: Client, sandbox: Sandbox, action: str) -> None:
    order = books.order()
    assert shopper.post(f"/orders/{order.token}/{action}/").status_code == 303


def test_every_address_of_the_shop_that_takes_a_post_is_tried_here() -> None:
    resolver: Any = get_resolver("shop.urls")
    found = set()
    for pattern in resolver.url_patterns:
        answers = pattern.callback
        closure = [cell.cell_contents for cell in getattr(answers, "__closure__", None) or ()]
        if getattr(answers, "same_origin_only", False) or any(
            getattr(one, "same_origin_only", False) for one in closure if callable(one)
        ):
            found.add(pattern.name)
    assert found == set(TAKES_POSTS) | OF_AN_ORDER


def test_typed_values_and_messages_are_there_after_the_redirect(shopper: Client) -> None:
    path, wrong = TAKES_POSTS["checkout"]
    page = followed(shopper, shopper.post(path, wrong))
    assert 'value="hanako"' in page and "data-focus" in page
    assert 'value="渋谷区"' in page
    page = followed(shopper, shopper.post(*TAKES_POSTS["contact"]))
    assert 'value="hanako"' in page and "秘密" in page
    assert "秘密" not in shopper.get("/contact/").content.decode()


def test_what_changed_is_told_each_time_that_the_page_is_shown(shopper: Client, sandbox: Sandbox) -> None:
    page = confirmation(shopper)
    StockItem.objects.update(on_hand=0)
    answer = place(shopper, page)
    for _again in range(2):
        assert "ご注文は確定しておらず" in followed(shopper, answer)
    assert "ご注文は確定しておらず" not in shopper.get("/checkout/confirm/").content.decode()


def test_a_message_that_was_sent_is_forgotten(shopper: Client) -> None:
    shopper.post(*TAKES_POSTS["contact"])
    message = {"name": "山田", "email": "hanako@example.jp", "message": "秘密", "nonce": "n" * 30}
    assert shopper.post("/contact/", message)["Location"] == "/contact/sent/"
    assert "秘密" not in shopper.get("/contact/?check=1").content.decode()
