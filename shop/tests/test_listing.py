"""Lists and search: filters, sorting, paging, ranking."""

import re

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries

from shop.filters import Filters, normalise_query, page_number
from shop.models import Product, SearchSynonym
from shop.testing import build

pytestmark = pytest.mark.django_db


def titles(client: Client, path: str) -> list[str]:
    """Return the titles of the cards on a list page."""
    return re.findall(r'class="card-title">([^<]*)<', client.get(path).content.decode())


@pytest.fixture
def goods() -> None:
    """Create four products that differ in light, price and stock; no word has a synonym."""
    SearchSynonym.objects.all().delete()
    build.product("warm", title="暖かい灯り", kelvin=2_700, price=2_000, position=1)
    build.product("day", title="昼の灯り", kelvin=5_000, price=9_999, position=2)
    build.product("cool", title="青白い灯り", kelvin=6_500, price=30_000, position=3, on_hand=0)
    build.category("power", name_ja="電源")
    build.product("driver", title="電源", category_slug="power", price=4_000, position=4)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["暖かい灯り", "昼の灯り", "青白い灯り", "電源"]),
        ("?light=warm", ["暖かい灯り"]),
        ("?light=cool", ["青白い灯り"]),
        ("?price=b", ["昼の灯り", "電源"]),
        ("?stock=1", ["暖かい灯り", "昼の灯り", "電源"]),
        ("?category=power", ["電源"]),
        ("?category=power&light=warm", []),
        ("?category=%00power", ["電源"]),
        ("?sort=price", ["暖かい灯り", "電源", "昼の灯り", "青白い灯り"]),
        ("?sort=-price", ["青白い灯り", "昼の灯り", "電源", "暖かい灯り"]),
        ("?sort=new", ["電源", "青白い灯り", "昼の灯り", "暖かい灯り"]),
        ("?light=purple&price=zzz&sort=drop+table&page=-1", ["暖かい灯り", "昼の灯り", "青白い灯り", "電源"]),
    ],
)
def test_filters_select_and_sorting_orders(
    client: Client, goods: None, query: str, expected: list[str]
) -> None:
    assert titles(client, f"/products/{query}") == expected


def test_all_filters_must_match_the_same_variant(client: Client) -> None:
    made = build.product("two", title="二色", kelvin=2_700, on_hand=0)
    build.variant(made, "two-day", kelvin=5_000)
    assert titles(client, "/products/?light=warm&stock=1") == []
    assert titles(client, "/products/?light=day&stock=1") == ["二色"]


def test_a_category_lists_only_its_products(client: Client, goods: None) -> None:
    assert titles(client, "/categories/power/") == ["電源"]
    assert client.get("/categories/nothing/").status_code == 404


def test_an_empty_list_offers_to_remove_the_filters(client: Client, goods: None) -> None:
    page = client.get("/products/?light=warm&price=d").content.decode()
    assert "0 件" in page
    assert "条件を解除する" in page


def test_long_lists_have_pages_of_24_and_a_count(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(50):
        build.product(f"p{number:02}", title=f"灯り{number:02}", position=number, picture=False)
    with django_assert_max_num_queries(3):
        page = client.get("/products/?page=3").content.decode()
    assert "50 件" in page
    assert titles(client, "/products/?page=3") == ["灯り48", "灯り49"]
    assert len(titles(client, "/products/")) == 24
    assert 'rel="next" href="?page=2"' in client.get("/products/").content.decode()
    assert 'rel="prev" href="?page=2"' in page
    assert client.get("/products/?page=4").status_code == 404


def test_paging_keeps_the_filters(client: Client) -> None:
    for number in range(30):
        build.product(f"p{number:02}", kelvin=2_700, picture=False)
    page = client.get("/products/?light=warm&sort=price").content.decode()
    assert 'href="?light=warm&amp;sort=price&amp;page=2"' in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("灯り", ["暖かい灯り", "昼の灯り", "青白い灯り"]),
        ("昼 灯り", ["昼の灯り"]),
        ("WARM light", ["暖かい灯り"]),
        ("ｓｋｕ－ｄａｙ", ["昼の灯り"]),
    ],
)
def test_a_search_finds_products_that_contain_every_word(
    client: Client, goods: None, query: str, expected: list[str]
) -> None:
    assert titles(client, f"/search/?q={query.replace('%', '%25')}") == expected


@pytest.mark.parametrize("query", ["電源 灯り", "100%", "'; --"])
def test_a_search_for_what_no_product_contains_has_no_hit(client: Client, goods: None, query: str) -> None:
    assert "0 件" in client.get("/search/", {"q": query}).content.decode()


@pytest.mark.parametrize("word", ["100%", "a_b", "\\", "'", '"', "%s", "50%%"])
def test_signs_with_a_meaning_in_sql_are_searched_literally(client: Client, word: str) -> None:
    build.product("with", title=f"灯り {word} 付き", picture=False)
    build.product("without", title="灯り axb 100 50", picture=False)
    page = client.get("/search/", {"q": word}).content.decode()
    assert f'card-title">{escape(f"灯り {word} 付き")}<' in page
    assert "axb" not in page


def test_hits_in_the_title_come_first(client: Client) -> None:
    mention = build.product("other", title="棚", position=1)
    Product.objects.filter(pk=mention.pk).update(description_ja="電球と合わせて")
    build.product("bulb", title="電球", position=2)
    assert titles(client, "/search/?q=電球") == ["電球", "棚"]


def test_a_query_is_normalised_and_limited() -> None:
    assert normalise_query("  ＬＥＤ　ﾗｲﾄ ") == "LED ライト"
    assert len(normalise_query("あ" * 500)) == 60
    assert normalise_query("a\x00b") == "ab"


def test_the_search_query_is_escaped(client: Client) -> None:
    page = client.get("/search/?q=<script>").content.decode()
    assert "<script>" not in page.replace('<script type="application/ld+json">', "")
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("typed", ["", "0", "-1", "x", "１", "99999", "1e3"])
def test_an_invalid_page_number_is_the_first_page(typed: str) -> None:
    assert page_number(typed) == 1


def test_the_query_string_of_a_list_can_be_read_back() -> None:
    filters = Filters(query="灯り &", light="warm", in_stock=True, sort="price")

    assert Filters.read(QueryDict(filters.parameters()[1:]).dict()) == filters
