"""Every public page, on phone and desktop: no error, no request to another host, no serious axe finding."""

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from ops.testing.browser import DESK, PHONE, Opener

pytestmark = pytest.mark.browser

PAGES = [
    "/",
    "/products/",
    "/categories/desk-lamps/",
    "/search/?q=%E8%AA%BF%E5%85%89",
    "/search/?q=zzzz",
    "/cart/",
    "/contact/",
    "/pages/tokushoho/",
    "/pages/returns/",
    "/pages/privacy/",
    "/pages/terms/",
    "/there-is-nothing-here/",
]


def serious_violations(page: Page) -> list[str]:
    """Return the violations that axe rates serious or critical."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [
        f"{page.url}: {violation['id']}: {violation['help']}: "
        f"{[node['html'][:160] for node in violation['nodes'][:3]]}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ]


def fits_the_window(page: Page) -> bool:
    """Return whether no element makes the page wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (DESK, True)], ids=["390-light", "1280-dark"])
def test_a_public_page_is_accessible_and_fits(visit: Opener, size: tuple[int, int], dark: bool) -> None:
    page = visit(size, dark=dark)
    page.goto("/products/")
    product = (
        page.locator("a[href*='/products/']").filter(has=page.locator("img")).first.get_attribute("href")
    )
    assert product
    problems: list[str] = []
    for path in [*PAGES, product, "/en/", f"/en{product}"]:
        page.goto(path)
        problems += serious_violations(page)
        if not fits_the_window(page):
            problems.append(f"{path} is wider than {size[0]} px")
    assert not problems, "\n".join(problems)


def test_pages_before_the_cart_set_no_cookie(visit: Opener) -> None:
    page = visit()
    for path in PAGES:
        page.goto(path)
    assert page.context.cookies() == []


def test_the_keyboard_reaches_the_content_first(visit: Opener) -> None:
    page = visit()
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')").startswith("#")


def test_back_after_a_corrected_error_shows_the_form_again(visit: Opener) -> None:
    page = visit(PHONE, javascript=True)
    page.goto("/categories/ceiling-lights/")
    page.locator("main a[href*='/products/']:has(img)").first.click()
    page.locator("form[action*='/cart/add/'] button.primary").click()
    page.goto("/checkout/")
    typed = {
        "family_name": "山田",
        "given_name": "花子",
        "family_name_kana": "ヤマダ",
        "given_name_kana": "ハナコ",
    }
    typed |= {"postal_code": "900-0015", "city": "那覇市", "street": "久茂地1", "phone": "098-000-0000"}
    for name, value in typed.items():
        page.locator(f"[name={name}]").fill(value)
    page.locator("select[name=prefecture]").select_option("沖縄県")
    page.locator("[name=email]").fill("hanako")
    page.locator("form[action$='/checkout/'] button.primary").click()
    expect(page.locator(".notice.error")).to_be_focused()
    page.locator("[name=email]").fill("hanako@example.jp")
    page.locator("form[action$='/checkout/'] button.primary").click()
    page.wait_for_url("**/checkout/confirm/")
    assert "hanako" not in page.url
    page.go_back()  # raises ERR_CACHE_MISS if that page was the answer to a POST
    expect(page.locator("[name=city]")).to_have_value("那覇市")
    page.goto("/categories/ceiling-lights/")
    page.locator("main a[href*='/products/']:has(img)").first.click()
    expect(page.locator(".arrival")).to_contain_text("沖縄県へ")  # the visitor's prefecture, once it is known


def test_the_buy_button_is_in_reach_on_a_telephone_wherever_the_page_stands(visit: Opener) -> None:
    page = visit(PHONE)
    for product in ("/products/madoka-8/", "/products/motion-sensor/", "/en/products/tsuru-arm/"):
        page.goto(product)
        button = page.locator(".buy-row button")
        for share in (0, 0.5, 1):
            page.evaluate("share => scrollTo(0, document.documentElement.scrollHeight * share)", share)
            box = button.bounding_box()
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= PHONE[1], (product, share, box)
        # what stands last is not covered by the bar
        last = page.locator("footer .imprint").bounding_box()
        bar = page.locator(".buy-row").bounding_box()
        assert last and bar and last["y"] + last["height"] <= bar["y"]
        if page.locator("input[name=sku][type=radio]").count() > 1:
            page.locator("input[name=sku]:not(:disabled)").nth(1).check(force=True)
            assert page.locator(".buy-price .of:visible").count() == 1
    page.locator(".buy-row button").click()
    expect(page).to_have_url(re.compile("/cart/"))


def test_enter_in_a_quantity_of_the_cart_updates_it_and_removes_nothing(visit: Opener) -> None:
    page = visit(PHONE)
    page.goto("/products/madoka-8/")
    page.locator(".buy-row button").click()
    for typed in ("9999", "2"):  # more than there are, then from the page that says so
        page.locator("#line-1").fill(typed)
        page.locator("#line-1").press("Enter")
        expect(page.locator(".cart-link .badge")).to_have_text("999+" if typed == "9999" else typed)
        expect(page.locator("#line-1")).to_have_value(typed)
