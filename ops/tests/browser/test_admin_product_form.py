"""The product's form in the admin, in a browser: what needs its script."""

import re

import pytest
from playwright.sync_api import Dialog, expect

from ops.testing.browser import Opener
from ops.testing.running import RunningShop

pytestmark = [pytest.mark.browser, pytest.mark.engine_independent]

SIZE = (1280, 900)


def test_a_picture_can_be_given_to_a_variant_that_was_just_typed(shop: RunningShop, visit: Opener) -> None:
    page = visit(SIZE)
    user, password = shop.login()
    page.goto("/admin/login/?next=/admin/shop/product/add/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").first.click()
    page.wait_for_url(re.compile("/admin/shop/product/add/"))

    page.locator("#variants-group a.add-row").click()
    stock = page.locator("input[name=variants-0-initial_stock]")
    expect(stock).to_be_visible()
    assert stock.evaluate("field => getComputedStyle(field).borderTopWidth") != "0px"
    page.locator("#pictures-group a.add-row").click()
    page.locator("input[name=variants-0-sku]").fill("TYPED-1")
    choice = page.locator("select[name=pictures-0-variant_sku]")
    choice.select_option("TYPED-1")
    page.locator("input[name=variants-0-sku]").fill("TYPED-12")
    expect(choice.locator("option")).to_have_text(["–", "TYPED-1", "TYPED-12"])
    choice.select_option("TYPED-12")
    page.locator("input[name=variants-0-sku]").fill("TYPED-123")
    choice.select_option("TYPED-123")
    expect(choice.locator("option")).to_have_count(3)
    asked: list[str] = []

    def leave(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.once("dialog", leave)
    page.goto("/admin/")
    assert asked == ["beforeunload"]  # there are unsaved changes
