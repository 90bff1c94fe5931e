"""What makes pages quick must never make them wrong: prepared queries and remembered pages."""

from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.utils.html import escape
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from ledger.models import StockItem
from shop.memo import Memo
from shop.models import Category, ContentPage, Picture, Product, Variant
from shop.prepared import ask
from shop.shelf import Filters, matching
from shop.tests import build


@pytest.mark.django_db
def test_every_change_of_the_catalogue_shows_on_the_next_page(client: Client) -> None:
    made = build.product(on_hand=20)
    build.text("terms", "利用規約", "<p>一</p>")

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
def test_a_remembered_page_is_remembered_by_language_and_terms(client: Client, settings: Settings) -> None:
    build.product()
    assert "カートに入れる" in client.get("/products/madoka/").content.decode()
    assert "Add to cart" in client.get("/en/products/madoka/").content.decode()
    settings.SHIPPING_FEE = 770
    assert "¥770" in client.get("/products/madoka/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("word", ["100%", "a_b", "\\", "'", '"', "%s", "\ue000word0\ue001", "50%%"])
def test_a_prepared_search_finds_exactly_what_the_orm_finds(client: Client, word: str) -> None:
    build.product("with", title=f"灯り {word} 付き", picture=False)
    build.product("without", title="灯り axb 100 50", picture=False)
    by_orm = set(matching(Filters(query=word), [word]).values_list("title_ja", flat=True))
    answer = client.get("/search/", {"q": word})
    found = {
        title
        for title in (f"灯り {word} 付き", "灯り axb 100 50")
        if _shown(title) in answer.content.decode()
    }
    assert found == by_orm == {f"灯り {word} 付き"}


def _shown(title: str) -> str:
    return f'card-title">{escape(title)}<'


@pytest.mark.django_db
def test_a_prepared_query_takes_other_values_each_time() -> None:
    for slug in ("one", "two"):
        build.product(slug, title=slug)

    def titled(*, slug: str) -> QuerySet[Product, Any]:
        return Product.objects.filter(slug=slug).values("title_ja")

    assert ask(titled, slug="one") == [{"title_ja": "one"}]
    assert ask(titled, slug="two") == [{"title_ja": "two"}]
    assert ask(titled, slug="' OR 1=1 --") == []


@given(st.lists(st.integers(0, 9), max_size=60))
def test_a_memo_never_mixes_up_its_keys_nor_outgrows_its_size(keys: list[int]) -> None:
    memo = Memo(4)
    for key in keys:
        assert memo.get(key, lambda key=key: str(key).encode()) == str(key).encode()  # type: ignore[misc]
        assert len(memo._kept) <= 4
