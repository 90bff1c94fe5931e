"""Checkout: the address, the confirmation that the law requires, one order for any number of clicks."""

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import CheckoutAttempt, Order, StockItem
from ledger.models.orders import OrderStatus
from shop.models import Variant
from shop.testing import build
from shop.testing.checkout import confirmation, place
from shop.testing.redirects import followed

pytestmark = pytest.mark.django_db(transaction=True)  # the call to Stripe comes after the commit


@pytest.fixture
def shopper(client: Client) -> Client:
    """Return a customer with one lamp in the cart."""
    build.product()
    build.content_page()
    build.content_page("returns", "返品・交換について")
    build.fill_cart(client, ("SKU-madoka", 1))
    return client


def test_opening_the_address_form_starts_no_session(shopper: Client) -> None:
    assert "sessionid" not in shopper.get("/checkout/").cookies
    assert Session.objects.count() == 0


def test_the_typed_address_is_normalised(shopper: Client) -> None:
    page = confirmation(shopper)
    for text in (
        "〒150-0001",
        "東京都渋谷区神宮前1-2-3",
        "ライトハイツ 405",
        "03-0000-0000",
        "ヤマダ ハナコ",
        "山田 花子 様",
    ):
        assert text in page


def test_the_address_is_in_the_session_and_in_no_cookie(shopper: Client) -> None:
    build.type_address(shopper)
    assert Session.objects.count() == 1
    for morsel in shopper.cookies.values():
        assert "hanako" not in morsel.value
        assert "150-0001" not in morsel.value and "1500001" not in morsel.value


def test_errors_are_at_the_fields_and_in_a_summary_and_typed_values_are_kept(
    shopper: Client,
) -> None:
    typed = build.TYPED_ADDRESS | {
        "postal_code": "１５０",
        "email": "hanako＠",
        "phone": "12345",
        "given_name": "",
    }
    page = followed(shopper, shopper.post("/checkout/", typed))
    assert "4 か所ご確認ください" in page
    assert 'tabindex="-1" data-focus' in page
    assert '<a href="#id_postal_code">郵便番号：7 桁の数字で' in page
    for name, value in (
        ("postal_code", "１５０"),
        ("phone", "12345"),
        ("city", "渋谷区"),
        ("family_name", "山田"),
    ):
        assert re.search(rf'name="{name}" value="{value}"', page), name
        if name in ("postal_code", "phone"):
            assert f'id="id_{name}_error"' in page
    back = shopper.get("/checkout/").content.decode()
    assert 'value="１５０"' in back
    assert "か所ご確認ください" not in back
    assert shopper.get("/checkout/confirm/")["Location"] == "/checkout/"


def test_the_message_of_a_missing_field_has_its_name(shopper: Client) -> None:
    page = followed(shopper, shopper.post("/checkout/", {}))
    for asked in (
        "姓をご入力ください。",
        "名をご入力ください。",
        "姓のフリガナをご入力ください。",
        "名のフリガナをご入力ください。",
        "郵便番号をご入力ください。",
        "都道府県をお選びください。",
        "市区町村をご入力ください。",
        "町名・番地をご入力ください。",
        "電話番号をご入力ください。",
        "メールアドレスをご入力ください。",
    ):
        assert f'">{asked}</a></li>' in page, asked  # in the summary
        assert re.search(rf'<p class="field-error" id="id_\w+_error">{asked}', page), asked
    assert page.count('aria-invalid="true"') == 10
    assert "このフィールド" not in page


def test_a_confirmed_postal_code_is_not_asked_about_again(shopper: Client) -> None:
    typed = build.TYPED_ADDRESS | {"prefecture": "大阪府", "email": "hanako"}
    page = followed(shopper, shopper.post("/checkout/", typed))
    [value] = re.findall(r'type="checkbox" name="sure" value="([^"]+)"', page)
    page = followed(shopper, shopper.post("/checkout/", typed | {"sure": value}))  # the e-mail is still wrong
    assert "id_postal_code_error" not in page
    typed["email"] = "hanako@example.jp"
    answer = shopper.post("/checkout/", typed | {"sure": build.hidden(page, "sure")})
    assert answer["Location"] == "/checkout/confirm/"
    page = shopper.get("/checkout/").content.decode()  # to change something else
    answer = shopper.post("/checkout/", typed | {"city": "大阪市", "sure": build.hidden(page, "sure")})
    assert answer["Location"] == "/checkout/confirm/"


def test_english_customers_need_no_kana(client: Client) -> None:
    build.product()
    build.fill_cart(client, ("SKU-madoka", 1))
    typed = build.TYPED_ADDRESS | {"family_name_kana": "", "given_name_kana": ""}
    assert client.post("/checkout/", typed)["Location"] == "/checkout/?check=1"
    assert client.post("/en/checkout/", typed)["Location"] == "/en/checkout/confirm/"


def test_an_english_customer_reads_the_address_in_english(shopper: Client) -> None:
    typed = build.TYPED_ADDRESS | {"city": "Shibuya-ku", "street": "Jingumae 1-2-3", "building": ""}
    assert shopper.post("/en/checkout/", typed).status_code == 303
    page = shopper.get("/en/checkout/confirm/").content.decode()
    assert "Jingumae 1-2-3, Shibuya-ku, Tokyo 150-0001" in page


def test_an_order_in_english_keeps_the_japanese_titles_for_those_who_pack(
    shopper: Client, sandbox: Sandbox
) -> None:
    assert shopper.post("/en/checkout/", build.TYPED_ADDRESS).status_code == 303
    page = shopper.get("/en/checkout/confirm/").content.decode()
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    assert shopper.post("/en/checkout/place/", fields).status_code == 303
    line = Order.objects.get().lines.get()
    assert (line.title, line.packing_title) == ("madoka light", "シーリングライト まどか")


def test_the_confirmation_shows_everything_that_the_law_requires(shopper: Client) -> None:
    page = confirmation(shopper)
    for text in (
        "シーリングライト まどか",
        "¥12,800 × 1",  # quantity
        "送料",
        "合計（税込）",
        "内消費税 ¥1,163",
        "クレジットカード",  # method and time of payment
        "35 分",
        "お届け",
        "発送前であれば無料",  # cancellation
        "到着から 30 日以内",  # returns
        "/pages/tokushoho/",
        "/pages/returns/",
        "注文を確定して支払いへ進む",
        'href="/cart/"',
        'href="/checkout/"',
    ):
        assert text in page, text


def test_placing_an_order_reserves_stock_empties_the_cart_and_redirects_to_payment(
    shopper: Client, sandbox: Sandbox, settings: Settings
) -> None:
    answer = place(shopper, confirmation(shopper))
    order = Order.objects.get()
    attempt = CheckoutAttempt.objects.get()
    assert answer.status_code == 303
    assert answer["Location"] == attempt.url
    assert answer["Location"].startswith(settings.SANDBOX_BASE_URL)
    assert (order.total, order.tax_standard, order.family_name_kana) == (12_800, 1_163, "ヤマダ")
    assert order.lines.get().title == "シーリングライト まどか"
    assert StockItem.objects.get().reserved == 1
    assert answer.cookies["cart"].value == ""
    assert "カートは空です" in shopper.get("/cart/").content.decode()


def test_two_clicks_are_one_order_and_one_payment_page(shopper: Client, sandbox: Sandbox) -> None:
    page = confirmation(shopper)
    cart = shopper.cookies["cart"].value
    first = place(shopper, page)
    shopper.cookies["cart"] = cart  # the second click was sent before the first was answered
    second = place(shopper, page)
    assert first["Location"] == second["Location"]
    assert Order.objects.count() == 1
    assert StockItem.objects.get().reserved == 1


@pytest.mark.parametrize("change", ["price", "quantity", "sold out"])
def test_changes_since_the_confirmation_are_shown_before_an_order_is_placed(
    shopper: Client, sandbox: Sandbox, change: str
) -> None:
    page = confirmation(shopper)
    if change == "price":
        Variant.objects.update(price=13_800)
    elif change == "quantity":  # in another tab
        shopper.post("/cart/update/", {"q-SKU-madoka": "2"})
    else:
        StockItem.objects.update(on_hand=0)
    again = followed(shopper, place(shopper, page))
    assert "ご注文は確定しておらず、請求もありません" in again
    assert not Order.objects.exists()
    if change == "price":
        assert "¥12,800 から ¥13,800" in again
    if change == "sold out":
        assert "売り切れました" in again
        assert "注文を確定して支払いへ進む" not in again
    else:
        assert place(shopper, again).status_code == 303
        assert Order.objects.get().total == (13_800 if change == "price" else 25_600)


def test_the_first_customer_gets_the_last_piece_and_the_second_keeps_the_typed_address(
    shopper: Client, sandbox: Sandbox
) -> None:
    StockItem.objects.update(on_hand=1)
    page = confirmation(shopper)
    rival = Client()
    build.fill_cart(rival, ("SKU-madoka", 1))
    assert place(rival, confirmation(rival)).status_code == 303
    again = followed(shopper, place(shopper, page))
    assert "売り切れました" in again
    assert "神宮前1-2-3" in again
    assert Order.objects.count() == 1
    assert 'value="山田"' in shopper.get("/checkout/").content.decode()


def test_without_stripe_the_order_is_kept_and_payment_can_be_retried(
    shopper: Client, settings: Settings
) -> None:
    page = confirmation(shopper)
    settings.STRIPE_API_BASE = settings.SANDBOX_BASE_URL = "http://127.0.0.1:9"  # a closed port
    answer = place(shopper, page)
    order = Order.objects.get()
    assert answer["Location"] == f"/orders/{order.token}/?payment=unavailable"
    shown = shopper.get(answer["Location"]).content.decode()
    assert "ただいま決済ページに接続できません" in shown
    assert "¥12,800 を支払う" in shown


def test_checkout_with_an_empty_cart_redirects_to_the_cart(client: Client) -> None:
    for path in ("/checkout/", "/checkout/confirm/"):
        assert client.get(path)["Location"] == "/cart/"
    assert client.post("/checkout/place/", {"nonce": "n" * 24})["Location"] == "/cart/"
    assert client.post("/checkout/place/", {"nonce": "'"})["Location"] == "/checkout/confirm/"


def test_a_customer_who_returns_from_the_payment_page_gets_the_order_instead_of_an_empty_cart(
    shopper: Client, sandbox: Sandbox
) -> None:
    place(shopper, confirmation(shopper))
    order = Order.objects.get()
    for step in ("/checkout/confirm/", "/checkout/"):
        assert shopper.get(step)["Location"] == f"/orders/{order.token}/"
    Order.objects.update(
        placed_at=timezone.now() - timedelta(minutes=36)
    )  # the browser may be another person's by now
    assert shopper.get("/checkout/confirm/")["Location"] == "/cart/"


def test_after_payment_the_checkout_redirects_to_the_cart(shopper: Client, sandbox: Sandbox) -> None:
    place(shopper, confirmation(shopper))
    Order.objects.update(status=OrderStatus.PAID)
    assert shopper.get("/checkout/confirm/")["Location"] == "/cart/"


def test_the_english_checkout_places_an_english_order(client: Client, sandbox: Sandbox) -> None:
    build.product(option_ja="電球色", option_en="Warm")
    client.post("/en/cart/add/", {"sku": "SKU-madoka", "quantity": "1"})
    client.post("/en/checkout/", build.TYPED_ADDRESS)
    page = client.get("/en/checkout/confirm/").content.decode()
    assert "Place the order and go to payment" in page
    fields = {name: build.hidden(page, name) for name in ("nonce", "fingerprint")}
    client.post("/en/checkout/place/", fields)
    order = Order.objects.get()
    assert (order.language, order.lines.get().title) == ("en", "madoka light (Warm)")
