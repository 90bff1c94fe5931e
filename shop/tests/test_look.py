"""What customers see without asking: what a struck-out price is, who sells, every room on the home page."""

import pytest
from django.test import Client
from pytest_django import Settings

from shop.models import Product
from shop.testing import build

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/products/", "/products/madoka/"])
def test_a_struck_out_price_says_what_it_is(client: Client, path: str) -> None:
    build.product(price=12_800, compare_at_price=14_800)
    page = client.get(path).content.decode()
    assert '<span class="was">通常価格 <s>¥14,800</s></span>' in page


@pytest.mark.parametrize(("path", "language"), [("/", "ja"), ("/en/contact/", "en"), ("/nothing/", "ja")])
def test_the_footer_names_company_telephone_and_hours(
    client: Client, settings: Settings, path: str, language: str
) -> None:
    foot = client.get(path).content.decode().partition('<footer class="bottom">')[2]
    for value in settings.SELLER[language].values():
        assert value in foot
    assert f'href="tel:{settings.SELLER[language]["telephone"]}"' in foot
    assert ("（平日" if language == "ja" else " (weekdays") in foot


def test_a_category_without_pictures_is_on_the_home_page(client: Client) -> None:
    build.category("bulbs", name_ja="電球", room_ja="玄関")
    build.product("bulb", category_slug="bulbs", picture=False)
    build.category("empty", name_ja="空", room_ja="空き部屋")
    build.category("drafts", name_ja="準備中", room_ja="次の部屋")
    build.product("draft", category_slug="drafts", status=Product.Status.DRAFT)
    page = client.get("/").content.decode().partition('class="rooms"')[2].partition("</ul>")[0]
    assert "玄関" in page and 'class="no-picture"' in page
    assert "空き部屋" not in page and "次の部屋" not in page
