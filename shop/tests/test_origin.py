"""Posts from pages of other sites are refused."""

import pytest
from django.test import Client
from pytest_django import Settings

from shop.testing import build

pytestmark = pytest.mark.django_db
OWN_ORIGIN = "http://testserver"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),  # not a browser
        ({"Sec-Fetch-Site": "same-origin", "Origin": OWN_ORIGIN}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Origin": OWN_ORIGIN}, 303),  # an older browser
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://blog.testserver"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://testserver.evil.example"}, 403),
        ({"Origin": "https://testserver"}, 403),  # another scheme is another origin
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[evil"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://\u212a\uff0f"}, 403),
    ],
)
def test_a_page_of_another_site_cannot_fill_a_cart(
    client: Client, headers: dict[str, str], status: int
) -> None:
    build.product()
    answer = client.post("/cart/add/", {"sku": "SKU-madoka", "quantity": "1"}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert "cart" not in answer.cookies
        assert "ほかのウェブサイトから" in answer.content.decode()


def test_the_storefront_url_is_allowed_behind_a_proxy(client: Client, settings: Settings) -> None:
    settings.STOREFRONT_BASE_URL = "https://shop.example.jp"
    build.product()
    answer = client.post(
        "/cart/add/", {"sku": "SKU-madoka", "quantity": "1"}, headers={"Origin": "https://shop.example.jp"}
    )
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/cart/add/",
        "/cart/update/",
        "/checkout/",
        "/checkout/place/",
        "/contact/",
        f"/orders/{'t' * 32}/pay/",
        f"/orders/{'t' * 32}/cancel/",
        f"/orders/{'t' * 32}/again/",
        "/en/cart/add/",
    ],
)
def test_every_form_refuses_posts_from_other_sites(client: Client, path: str) -> None:
    answer = client.post(path, {}, headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_djangos_csrf_check_does_not_stop_a_customer() -> None:
    build.product()
    strict = Client(enforce_csrf_checks=True)
    build.fill_cart(strict, ("SKU-madoka", 1))
    build.type_address(strict)
