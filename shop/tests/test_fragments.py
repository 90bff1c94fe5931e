"""Fragments of pages are rendered once, and never shown outdated or in the wrong language."""

import pytest
from django.template.loader import get_template
from django.test import Client
from django.utils.translation import override

from ledger.models import StockItem
from shop.models import Category, ContentPage, Product, Variant
from shop.pages.fragments import render_cached
from shop.testing import build

pytestmark = pytest.mark.django_db


def page(client: Client, path: str) -> str:
    """Return the HTML of a page."""
    return client.get(path).content.decode()


def test_a_change_is_on_the_next_list_and_product_page(client: Client) -> None:
    build.product(price=12_800, title="灯り")
    paths = ("/products/", "/products/madoka/", "/", "/search/?q=madoka")
    assert all("¥12,800" in page(client, path) for path in paths)
    Variant.objects.update(price=13_900)
    Product.objects.update(title_ja="あたらしい灯り")
    for path in paths:
        assert "¥13,900" in page(client, path)
        assert "あたらしい灯り" in page(client, path)
        assert "¥12,800" not in page(client, path)
    StockItem.objects.update(on_hand=0)
    assert all("売り切れ" in page(client, path) for path in paths[:2])


def test_header_and_footer_have_new_categories_and_content_pages(client: Client) -> None:
    build.product()
    assert "新しい棚" not in page(client, "/products/")
    Category.objects.create(slug="new", name_ja="新しい棚", name_en="New shelf")
    ContentPage.objects.create(slug="new", title_ja="新しい文", body_ja="<p>文</p>")
    assert page(client, "/products/").count("新しい棚") == 3  # header, footer and the filter
    assert "新しい文" in page(client, "/products/madoka/")
    assert "New shelf" in page(client, "/en/products/")


def test_unchanged_fragments_are_not_rendered_again(client: Client) -> None:
    for number in range(5):
        build.product(f"kept-{number}", title=f"灯り {number}")
    page(client, "/products/kept-0/")
    before = render_cached.cache_info()
    page(client, "/products/kept-0/")
    after = render_cached.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


def test_a_constant_text_is_translated_for_each_language() -> None:
    for language, word in (("ja", "カート"), ("en", "Cart"), ("ja", "カート")):
        with override(language):
            assert word in get_template("shop/cart.html").render({"links": {}, "language": language})
