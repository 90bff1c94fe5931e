"""What a customer and staff do in a browser: order, pay, sign in, open an order's form."""

import re

from playwright.sync_api import Page, expect

from ops.testing.running import RunningShop

VISA, DECLINED = "4242 4242 4242 4242", "4000000000000002"


def order_goods(page: Page, *categories: str) -> None:
    """Put the first product of each category into the cart and order it, up to Stripe's payment page."""
    for category in categories:
        page.goto(f"/categories/{category}/")
        page.locator("main a[href*='/products/']:has(img)").first.click()
        choices = page.locator("main input[type=radio][name=sku]:not([disabled])")
        if choices.count():
            choices.last.check(force=True)
        page.locator("form[action*='/cart/add/'] button.primary").click()
        page.goto("/cart/")
    page.locator("button[name=next][value=checkout]").click()

    typed = {
        "family_name": "山田",
        "given_name": "花子",
        "family_name_kana": "やまだ",  # the shop converts it to katakana
        "given_name_kana": "ハナコ",
        "postal_code": "１５０－０００１",  # full width, as many keyboards type it
        "city": "渋谷区",
        "street": "神宮前１－２－３",
        "building": "ライトハイツ 405",
        "phone": "03-0000-0000",
        "email": "hanako@example.jp",
    }
    for name, value in typed.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("select[name=prefecture]").select_option("東京都")
    page.locator("form[action$='/checkout/'] button.primary").click()

    expect(page.locator("h1")).to_contain_text("注文")
    expect(page.locator("main address")).to_contain_text("150-0001")
    page.locator("form[action$='/checkout/place/'] button.primary").click()

    page.wait_for_url(re.compile(r"/c/pay/"))


def pay(page: Page, card: str) -> None:
    """Enter a card on the payment page and pay."""
    page.locator("input[name=card]").fill(card)
    page.locator("button[name=action][value=pay]").click()


def follow_to_order(page: Page) -> str:
    """Wait for the payment to arrive and open the order's page; return the order's number."""
    page.wait_for_url(re.compile(r"/orders/[^/]+/thanks/"))
    expect(page.get_by_role("heading", name="ご注文ありがとうございます")).to_be_visible()
    page.locator("main a[href*='/orders/']").first.click()
    number = re.search(r"K\d{6}-[0-9A-Z]{5}", page.locator("main").inner_text())
    assert number
    return number.group()


def sign_in(page: Page, shop: RunningShop) -> None:
    """Sign in as staff."""
    user, password = shop.login()
    page.goto("/admin/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").first.click()
    expect(page.locator(".today-tiles")).to_be_visible()


def open_action(page: Page, number: str, action: str) -> None:
    """Open one of an order's forms from the list of orders, as staff do."""
    page.goto(f"/admin/ledger/order/?q={number}")
    page.locator("#result_list a, table a").filter(has_text=number).first.click()
    link = page.locator(f"a[href*='/ledger/order/'][href*='/{action}']").first
    page.goto(str(link.get_attribute("href")))
