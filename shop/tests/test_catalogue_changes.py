"""A change of the catalogue is on the next page."""

import pytest
from django.test import Client
from pytest_django import Settings

from ledger.models import StockItem
from shop.models import Category, ContentPage, Picture, Product, Variant
from shop.testing import build


@pytest.mark.django_db
def test_every_change_of_the_catalogue_is_on_the_next_page(client: Client) -> None:
    made = build.product(on_hand=20)
    build.content_page("terms", "利用規約", "<p>一</p>")

    def pages() -> list[str]:
        paths = ("/", "/products/", "/products/madoka/", "/categories/ceiling-lights/", "/pages/terms/")
        return [client.get(path).content.decode() for path in paths]

    before = pages()
    assert pages() == before
    Variant.objects.update(price=9_990)
    priced = pages()
    assert all("¥9,990" in page for page in priced[:4])
    StockItem.objects.update(reserved=18)
    assert all("残り" in page for page in pages()[:4])
    Product.objects.filter(pk=made.pk).update(title_ja="灯り 二代目")
    assert all("灯り 二代目" in page for page in pages()[:4])
    Category.objects.update(name_ja="天井の灯り")
    assert all("天井の灯り" in page for page in pages())
    Picture.objects.update(file="products/new.svg")
    assert all("products/new.svg" in page for page in pages()[:4])
    text = ContentPage.objects.get()
    text.body_ja = "<p>二</p>"
    text.save()
    assert "<p>二</p>" in pages()[4]


@pytest.mark.django_db
def test_a_page_is_in_its_language_and_has_the_current_terms(client: Client, settings: Settings) -> None:
    build.product()
    assert "カートに入れる" in client.get("/products/madoka/").content.decode()
    assert "Add to cart" in client.get("/en/products/madoka/").content.decode()
    settings.SHIPPING_FEE = 770
    assert "¥770" in client.get("/products/madoka/").content.decode()
