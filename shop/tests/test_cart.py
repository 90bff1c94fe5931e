"""The cart: a signed cookie; every invalid input is refused with a message."""

import hashlib
import re
from http.cookies import Morsel
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ledger.models import StockItem
from shop.cart import Cart, CartFull, CartLine, InvalidQuantity, parse_quantity
from shop.models import Product, Variant
from shop.testing import build
from shop.testing.redirects import followed

pytestmark = pytest.mark.django_db


def cookie(client: Client, name: str) -> "Morsel[str]":
    """Return a cookie of the client."""
    morsel: Morsel[str] = client.cookies[name]
    return morsel


def page_of(client: Client) -> str:
    """Return the cart page."""
    return client.get("/cart/").content.decode()


def test_quantities_of_a_sku_add_up_and_the_badge_counts_pieces(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1), ("SKU-madoka", 2))
    assert cookie(client, "cart_count").value == "3"
    assert client.get("/cart/badge/").json() == {"count": 3}
    assert "¥38,400" in page_of(client)


def test_scripts_can_read_the_count_cookie_but_not_the_cart_cookie(
    client: Client, settings: Settings
) -> None:
    build.product()
    settings.PRODUCTION = True
    build.fill_cart(client, ("SKU-madoka", 1))
    cart, count = cookie(client, "cart"), cookie(client, "cart_count")
    assert cart["httponly"]
    assert not count["httponly"]
    for morsel in (cart, count):
        assert morsel["secure"]
        assert morsel["samesite"] == "Lax"
        assert morsel["max-age"] == 30 * 24 * 3600


def test_a_tampered_cookie_is_an_empty_cart_with_an_explanation(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    client.cookies["cart"] = cookie(client, "cart").value[:-2] + "xx"
    answer = client.get("/cart/")
    assert "カートを読み込めませんでした" in answer.content.decode()
    assert answer.cookies["cart"].value == ""
    assert "カートを読み込めませんでした" not in page_of(client)


@pytest.mark.parametrize("typed", ["0", "-1", "10000", "abc", "", "1.5", "９９９９９", "1e3"])
def test_an_invalid_quantity_is_refused_and_stays_in_the_field(client: Client, typed: str) -> None:
    build.product()
    answer = client.post("/cart/add/", {"sku": "SKU-madoka", "quantity": typed})
    assert "cart" not in answer.cookies
    page = followed(client, answer)
    assert "1 から 9,999 まで" in page
    assert f'name="quantity" value="{typed}"' in page


def test_full_width_digits_are_accepted_as_a_quantity(client: Client) -> None:
    build.product()
    assert client.post("/cart/add/", {"sku": "SKU-madoka", "quantity": "２"}).status_code == 303
    assert cookie(client, "cart_count").value == "2"


@pytest.mark.parametrize("sku", ["NOTHING", "", "<script>", "a" * 500, "\x00"])
def test_an_unknown_sku_is_refused_and_the_cart_is_unchanged(client: Client, sku: str) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    answer = client.post("/cart/add/", {"sku": sku, "quantity": "1"})
    assert "シーリングライト まどか" in followed(client, answer)
    assert cookie(client, "cart_count").value == "1"


def test_a_draft_cannot_be_added_to_the_cart(client: Client) -> None:
    build.product(status=Product.Status.DRAFT)
    answer = client.post("/cart/add/", {"sku": "SKU-madoka", "quantity": "1"})
    assert "cart" not in answer.cookies
    assert "販売を終了" in followed(client, answer)


def test_an_invalid_quantity_does_not_lose_the_valid_ones(client: Client) -> None:
    build.product("a")
    build.product("b")
    build.fill_cart(client, ("SKU-a", 1), ("SKU-b", 1))
    answer = client.post("/cart/update/", {"q-SKU-a": "10000", "q-SKU-b": "4"})
    page = followed(client, answer)
    assert 'value="10000"' in page
    assert 'value="4"' in page
    assert "0 から 9,999 まで" in page
    assert "シーリングライト まどか：" in page
    assert 'name="q-SKU-b" id="line-2" value="4"' in page_of(client)
    assert 'name="q-SKU-a" id="line-1" value="1"' in page_of(client)


def test_zero_and_the_remove_button_remove_a_line(client: Client) -> None:
    build.product("a")
    build.product("b")
    build.fill_cart(client, ("SKU-a", 1), ("SKU-b", 1))
    client.post("/cart/update/", {"q-SKU-a": "0", "q-SKU-b": "1"})
    assert "SKU-a" not in page_of(client)
    answer = client.post("/cart/update/", {"q-SKU-b": "1", "remove": "SKU-b"})
    assert answer.cookies["cart"].value == ""
    assert "カートは空です" in page_of(client)


def test_a_sold_out_line_is_reported_and_blocks_checkout(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 2))
    StockItem.objects.update(on_hand=0)
    page = page_of(client)
    assert "売り切れました" in page
    answer = client.post("/cart/update/", {"q-SKU-madoka": "2", "next": "checkout"})
    assert answer["Location"] == "/cart/"


def test_a_quantity_above_the_stock_is_reported_with_the_available_pieces(client: Client) -> None:
    build.product(on_hand=3)
    build.fill_cart(client, ("SKU-madoka", 5))
    assert "残り 3 点" in page_of(client)


def test_a_changed_price_is_reported_until_the_customer_has_seen_it(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    Variant.objects.update(price=13_800)
    page = page_of(client)
    assert "¥12,800 から ¥13,800" in page
    assert "¥13,800" in page
    assert build.hidden(page, "p-SKU-madoka") == "13800"
    client.post("/cart/update/", {"q-SKU-madoka": "1", "p-SKU-madoka": "13800"})
    assert "¥12,800" not in page_of(client)


def test_a_price_that_changed_while_the_page_was_open_is_reported_on_the_next(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    page = page_of(client)
    Variant.objects.update(price=13_800)
    client.post("/cart/update/", {"q-SKU-madoka": "2", "p-SKU-madoka": build.hidden(page, "p-SKU-madoka")})
    assert "¥12,800 から ¥13,800" in page_of(client)


def test_a_line_that_is_no_longer_sold_is_removed_and_reported(client: Client) -> None:
    build.product("a")
    build.product("b")
    build.fill_cart(client, ("SKU-a", 1), ("SKU-b", 1))
    Product.objects.filter(slug="a").update(status=Product.Status.ARCHIVED)
    page = page_of(client)
    assert "「シーリングライト まどか」は販売を終了した" in page
    assert 'value="checkout"' in page  # what is left can be ordered at once
    assert "販売を終了した" not in page_of(client)
    assert cookie(client, "cart_count").value == "1"


def test_more_than_is_left_is_asked_about_as_the_checkout_does(client: Client) -> None:
    build.product(on_hand=2)
    build.fill_cart(client, ("SKU-madoka", 9))
    page = client.get("/cart/?added=SKU-madoka").content.decode()
    summary = page.split("data-focus", 1)[1].split("</div>", 1)[0]
    assert "残り 2 点" in summary
    assert 'href="#line-1"' in summary
    assert 'name="take" value="SKU-madoka"' in summary and "2 点にする" in summary
    assert "notice done" not in page  # no green notice
    assert "¥115,200" not in page.split("summary", 1)[1]  # no total of pieces that there are not
    assert 'value="checkout"' not in page
    answer = client.post("/cart/update/", {"q-SKU-madoka": "9", "take": "SKU-madoka"})
    page = followed(client, answer)
    assert 'value="2"' in page
    assert "¥25,600" in page
    assert "data-focus" not in page
    assert 'value="checkout"' in page


@pytest.mark.parametrize("quantity", [1, 9])
def test_the_first_button_of_the_cart_changes_nothing_but_quantities(client: Client, quantity: int) -> None:
    build.product(on_hand=2)
    build.fill_cart(client, ("SKU-madoka", quantity))
    buttons = re.findall(r"<button\b[^>]*>", page_of(client))  # the first is what Enter in a field presses
    assert any('name="remove"' in button for button in buttons)
    assert 'form="cart"' in buttons[0] and "name=" not in buttons[0]


def test_a_retired_variant_is_named_by_title_and_option_and_a_deleted_one_without_its_sku(
    client: Client,
) -> None:
    made = build.product("a")
    build.variant(made, "SKU-b", option_ja="昼白色", option_en="Daylight")
    build.fill_cart(client, ("SKU-a", 1), ("SKU-b", 1))
    Variant.objects.filter(sku="SKU-b").update(retired=True)
    assert "「シーリングライト まどか（昼白色）」は販売を終了した" in page_of(client)
    Variant.objects.filter(sku="SKU-a").delete()
    page = page_of(client)
    assert "1 点は販売を終了した" in page
    assert "SKU-a" not in page


def test_a_total_below_the_minimum_is_reported(client: Client, settings: Settings) -> None:
    settings.SHIPPING_FEE = 0
    build.product("cheap", price=30)
    build.fill_cart(client, ("SKU-cheap", 1))
    assert "¥50 から" in page_of(client)
    answer = client.post("/cart/update/", {"q-SKU-cheap": "1", "next": "checkout"})
    assert answer["Location"] == "/cart/"


def test_a_total_above_eight_digits_is_reported(client: Client) -> None:
    build.product("dear", price=9_999_999, on_hand=100)
    build.fill_cart(client, ("SKU-dear", 11))
    assert "カード決済の上限" in page_of(client)


def test_the_cart_shows_the_amount_missing_for_free_shipping_and_tax_by_rate(client: Client) -> None:
    build.product("bulb", price=1_100)
    build.product("water", price=1_080, tax_class="reduced")
    build.fill_cart(client, ("SKU-bulb", 1), ("SKU-water", 1))
    page = page_of(client)
    assert "あと ¥2,820 で送料無料" in page
    assert "¥2,680" in page  # with ¥500 shipping
    assert "10% 対象 ¥1,600" in page
    assert "内消費税 ¥145" in page
    assert "内消費税 ¥80" in page
    assert "※" in page


def test_typed_quantities_are_kept_when_going_to_checkout(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    answer = client.post("/cart/update/", {"q-SKU-madoka": "3", "next": "checkout"})
    assert answer["Location"] == "/checkout/"
    assert cookie(client, "cart_count").value == "3"


def test_private_pages_are_neither_stored_nor_indexed(client: Client) -> None:
    answer: Any = client.get("/cart/")
    assert "no-store" in answer["Cache-Control"]
    assert "noindex" in answer["X-Robots-Tag"]


def test_fifty_different_items_fit_into_the_cookie_and_the_next_is_refused(client: Client) -> None:
    cart = Cart()
    for number in range(50):
        cart = cart.add(f"LED-LONG-SKU-{number:03}-AB", 9_999, price=9_999_999)
    with pytest.raises(CartFull):
        cart.add("ONE-MORE", 1, price=1)
    assert cart.add("LED-LONG-SKU-000-AB", -1, price=5).pieces == 9_999 * 50 - 1


def test_a_cart_that_is_too_large_for_a_cookie_is_refused_with_a_message(client: Client) -> None:
    made = build.product("base")
    for number in range(50):
        digest = hashlib.shake_256(bytes([number])).digest(128)  # 64 kanji that no compression shortens
        build.variant(
            made,
            "".join(
                chr(0x4E00 + (a << 8 | b) % 20_000) for a, b in zip(digest[::2], digest[1::2], strict=True)
            ),
        )
    answers = [
        client.post("/cart/add/", {"sku": sku, "quantity": "1"})
        for sku in Variant.objects.exclude(sku="SKU-base").values_list("sku", flat=True)
    ]
    refused = [answer for answer in answers if answer["Location"] == "/cart/?problem=full"]
    assert refused
    assert "50 種類まで" in followed(client, refused[0])
    assert len(cookie(client, "cart").value) <= 3_900


def test_the_english_cart_is_in_english(client: Client) -> None:
    build.product()
    answer = client.post("/en/cart/add/", {"sku": "SKU-madoka", "quantity": "0"})
    assert "whole number from 1 to 9,999" in followed(client, answer)
    assert client.post("/en/cart/add/", {"sku": "SKU-madoka", "quantity": "1"})["Location"].startswith(
        "/en/cart/"
    )


@given(st.text(max_size=8))
def test_a_typed_quantity_is_in_range_or_refused(typed: str) -> None:
    try:
        assert 0 <= parse_quantity(typed) <= 9_999
    except InvalidQuantity:
        assert not re.fullmatch(r"[0-9]{1,4}", typed)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=30))
def test_quantities_add_up_in_any_order(steps: list[tuple[str, int]]) -> None:
    cart = Cart()
    for sku, quantity in steps:
        cart = cart.add(sku, quantity, price=1)
    assert cart.pieces == sum(quantity for _sku, quantity in steps)
    assert len({line.sku for line in cart}) == len(cart.lines)
    assert all(isinstance(line, CartLine) for line in cart)
