"""Public pages: the same bytes for every visitor, few queries, small, nothing from other hosts."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from shop.cart import COOKIE_SALT
from shop.testing import build

pytestmark = pytest.mark.django_db
PUBLIC_PATHS = [
    "/",
    "/products/",
    "/products/?light=warm&price=c&stock=1&sort=price",
    "/categories/ceiling-lights/",
    "/products/madoka/",
    "/search/?q=まどか",
    "/pages/tokushoho/",
    "/contact/sent/",
    "/en/",
    "/en/products/madoka/",
]


@pytest.fixture(autouse=True)
def goods() -> None:
    """Create a small shop."""
    for place, slug in enumerate(["madoka", "masu", "tsuru", "kagerou", "hoshi"]):
        made = build.product(slug, kelvin=2_700, lumens=4_200, position=place)
        build.variant(made, f"{slug}-2", kelvin=5_000, lumens=4_000, option_ja="昼白色", option_en="Daylight")
    build.content_page()
    build.content_page("privacy", "プライバシーポリシー")


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_a_public_page_takes_at_most_three_queries(
    path: str, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(3):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", PUBLIC_PATHS)
def test_a_public_page_does_not_depend_on_its_visitor(
    path: str, client: Client, admin_client: Client
) -> None:
    plain = client.get(path)
    assert not plain.cookies
    assert "Cookie" not in plain.get("Vary", "")
    assert "csrfmiddlewaretoken" not in plain.content.decode()
    assert plain["Cache-Control"].startswith("public")
    with_cart = Client()
    build.fill_cart(with_cart, ("SKU-madoka", 2))
    assert with_cart.get(path).content == plain.content
    assert admin_client.get(path).content == plain.content
    forged = Client()
    forged.cookies["cart"] = "x:y:z"
    assert forged.get(path).content == plain.content


@pytest.mark.parametrize("path", [*PUBLIC_PATHS, "/cart/", "/contact/", "/nowhere/"])
def test_no_page_loads_anything_from_another_host(path: str, client: Client) -> None:
    page = client.get(path).content.decode()
    loaded = re.findall(r'(?:src|srcset|action)="([^"]*)"', page)
    loaded += re.findall(r'<link rel="(?:icon|stylesheet|preload)"[^>]* href="([^"]*)"', page)
    assert loaded
    assert all(not re.match(r"(https?:)?//", address) for address in loaded)
    assert "<style" not in page
    assert ' style="' not in page
    assert not re.search(r"<script(?![^>]*(src=|application/ld\+json))", page)


def test_style_sheet_and_script_load_nothing_from_another_host() -> None:
    for name in ("shop.css", "shop.js"):
        source = (settings.BASE_DIR / "static" / "shop" / name).read_text()
        assert "://" not in source
        assert "@import" not in source


def test_a_product_page_has_at_most_60_kilobytes_without_pictures(client: Client) -> None:
    assets: list[Path] = [settings.BASE_DIR / "static" / "shop" / name for name in ("shop.css", "shop.js")]
    html = len(client.get("/products/madoka/").content)
    assert html + sum(path.stat().st_size for path in assets) <= 60_000


def test_a_page_has_its_canonical_url_and_both_languages(client: Client) -> None:
    page = client.get("/en/products/madoka/").content.decode()
    base = settings.STOREFRONT_BASE_URL
    assert f'<link rel="canonical" href="{base}/en/products/madoka/">' in page
    assert f'hreflang="ja" href="{base}/products/madoka/">' in page
    assert f'hreflang="x-default" href="{base}/products/madoka/">' in page
    assert '<html lang="en">' in page


def test_filtered_lists_and_searches_are_not_indexed(client: Client) -> None:
    for path in ("/products/?light=warm", "/products/?sort=price", "/search/?q=x"):
        assert '<meta name="robots" content="noindex">' in client.get(path).content.decode()
    assert "noindex" not in client.get("/products/").content.decode()


def test_the_content_security_policy_is_strict(client: Client) -> None:
    answer: Any = client.get("/")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "https://checkout.stripe.com" in policy
    assert answer["Referrer-Policy"] == "same-origin"


def test_the_footer_links_only_to_existing_content_pages(client: Client) -> None:
    page = client.get("/").content.decode()
    assert '<a href="/pages/tokushoho/">特定商取引法に基づく表記</a>' in page
    assert "/pages/terms/" not in page


def test_a_cart_that_is_signed_with_another_salt_is_damaged(client: Client) -> None:
    client.cookies["cart"] = signing.dumps([["SKU-madoka", 1, 12_800]], salt=COOKIE_SALT + "x")
    assert "読み込めませんでした" in client.get("/cart/").content.decode()
