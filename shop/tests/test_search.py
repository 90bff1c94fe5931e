"""The search: what customers type finds what they mean, and its texts are true however rows are written."""

import re
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from kikaku.text import fold, fold_words
from kikaku.transactions import unit_of_work
from shop.demo import loader
from shop.models import Category, Product, SearchSynonym, Specification, Variant
from shop.search_index import gathering, refresh
from shop.testing import build
from shop.words import terms

QUERIES = [
    line.split("\t")
    for line in (Path(__file__).parent / "search_queries.tsv").read_text().splitlines()
    if not line.startswith("#")
]


def search(client: Client, query: str) -> str:
    """Return the first page of a search."""
    return client.get("/search/", {"q": query}).content.decode()


def found(client: Client, query: str) -> list[str]:
    """Return the slugs of the products that a search found, without those that only come close."""
    page = search(client, query)
    return [] if 'class="near"' in page else re.findall(r'<a href="/products/([^/"]+)/">', page)


@pytest.mark.django_db
def test_each_query_of_customers_finds_what_is_meant(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path
    settings.RATE_LIMITS = {}
    loader.load(None, now=timezone.now())
    assert len(QUERIES) >= 100
    missing = {}
    for query, wanted in QUERIES:
        left = set(wanted.split()) - set(found(client, query))
        if left:
            missing[query] = left
    assert missing == {}


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("ＬＥＤ　電球", "led電球"),
        ("ｼｰﾘﾝｸﾞ", "しーりんぐ"),
        ("シ－リング", "しーりんぐ"),
        ("シ−リング", "しーりんぐ"),
        ("髙木 誠", "高木誠"),
        ("渡邉", "渡辺"),
        ("090ー0000―6915", "09000006915"),
        ("〒１５０－０００１", "1500001"),
        ("か゛", "が"),
        ("葛\U000e0100城", "葛城"),
        ("2,700 K", "2700k"),
        ("6帖", "6畳"),
        ("ー", ""),
        ("", ""),
    ],
)
def test_texts_that_mean_the_same_are_folded_to_one(written: str, folded: str) -> None:
    assert fold(written) == folded
    assert fold(folded) == folded


def test_numbers_and_latin_words_have_borders() -> None:
    assert fold_words("LED 電球 E26 16畳") == " led 電球 e 26 16 畳"
    assert " 6 畳" not in fold_words("16畳")
    assert " led" not in fold_words("filled")


@pytest.mark.parametrize(
    ("query", "looked_for"),
    [
        ("LED電球", (" led", "電球")),
        ("E26電球色", (" e 26 ", "\ue010")),
        ("8 畳", (" 8 畳",)),
        ("2,700 K", (" 2700 k ",)),
        ("和室の照明", ("和室", "照明")),
        ("きのこ", ("きのこ",)),
        ("玄関用", ("玄関",)),
        ("非常用電源", ("非常", "電源")),
        ("リモコン付きの照明", ("りもこん", "照明")),
        ("LEDて-ぷ", (" led", "てーぷ")),
        ("センサ−付きライト", ("せんさ", "らいと")),
        ("調光できる電球", ("調光", "電球")),
        ("デスクランプ", ("ですく", "らんぷ")),
        ("センサー", ("せんさ",)),
        ("bulbs", (" bulb",)),
        ("の", ()),
        ("・", ()),
    ],
)
def test_a_query_is_split_where_its_script_changes(query: str, looked_for: tuple[str, ...]) -> None:
    assert terms(query) == looked_for


@pytest.mark.django_db
def test_a_word_in_a_longer_one_that_means_something_else_is_not_found(client: Client) -> None:
    made = build.product("ceiling")
    Variant.objects.filter(product=made).update(option_ja="電球色 2,700 K")
    assert found(client, "電球色") == ["ceiling"]
    assert found(client, "電球") == []
    assert found(client, "12,700 K") == []


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["zzzz", "宇宙", "電球 宇宙", "・"])
def test_a_search_without_a_hit_shows_goods(client: Client, query: str) -> None:
    build.product("ceiling", position=1)
    build.product("bulb", title="電球", position=2)
    with CaptureQueriesContext(connection) as queries:
        page = search(client, query)
    assert len(queries) <= 3
    assert "0 件" in page
    shown = re.findall(r'<a href="/products/([^/"]+)/">', page)
    assert sorted(shown) == ["bulb", "ceiling"]
    if "電球" in query:
        assert shown[0] == "bulb"  # it comes closest
    assert "Nothing" not in page


@pytest.mark.django_db
def test_a_synonym_counts_at_once_and_until_it_is_deleted(client: Client, admin_client: Client) -> None:
    build.product("bulb", title="電球")
    assert found(client, "ピカピカ玉") == []
    admin_client.post("/admin/shop/searchsynonym/add/", {"words": "電球 ピカピカ玉"})
    assert found(client, "ﾋﾟｶﾋﾟｶ玉") == ["bulb"]
    SearchSynonym.objects.filter(words__contains="ピカ").update(words="電球 きらきら玉")
    assert (found(client, "ピカピカ玉"), found(client, "きらきら玉")) == ([], ["bulb"])
    SearchSynonym.objects.filter(words__contains="きら").delete()
    assert found(client, "きらきら玉") == []


@pytest.mark.django_db
def test_a_synonym_needs_two_words(admin_client: Client) -> None:
    page = admin_client.post("/admin/shop/searchsynonym/add/", {"words": "電球"})
    assert "2つ以上" in page.content.decode()


@pytest.mark.django_db
def test_the_text_of_a_product_is_true_however_its_rows_are_written(client: Client) -> None:
    made = build.product("lamp", title="一番")
    assert found(client, "一番") == ["lamp"]
    made.title_ja = "二番"
    made.save(update_fields=["title_ja"])
    assert (found(client, "一番"), found(client, "二番")) == ([], ["lamp"])
    Product.objects.filter(pk=made.pk).update(title_ja="三番")
    assert found(client, "三番") == ["lamp"]
    Product.objects.bulk_update([Product(pk=made.pk, keywords="四番")], ["keywords"])
    assert found(client, "四番") == ["lamp"]
    Category.objects.update(room_ja="五番")
    assert found(client, "五番") == ["lamp"]
    Specification.objects.bulk_create([Specification(product=made, name_ja="六番", value_ja="七番")])
    assert found(client, "七番") == ["lamp"]
    Specification.objects.filter(value_ja="七番").delete()
    assert found(client, "七番") == []
    red = build.variant(made, "RED", option_ja="赤")
    assert found(client, "赤") == ["lamp"]
    Variant.objects.filter(pk=red.pk).update(retired=True)
    assert found(client, "赤") == []
    other = build.product("other", title="別")
    Variant.objects.filter(pk=red.pk).update(retired=False, product=other)
    assert found(client, "赤") == ["other"]
    for wanted in (made, other):
        moved = Variant.objects.get(pk=red.pk)
        moved.product = wanted
        moved.save()
        assert found(client, "赤") == [wanted.slug]
    for wanted in (made, other):
        moved.product = wanted
        Variant.objects.bulk_update([moved], ["product"])
        assert found(client, "赤") == [wanted.slug]
    other.delete()
    assert refresh() == 0


@pytest.mark.django_db
def test_a_price_or_a_status_leaves_the_text_alone() -> None:
    made = build.product()
    with CaptureQueriesContext(connection) as queries:
        Variant.objects.update(price=9_990)
        made.save(update_fields=["status"])
    assert not any("shop_searchsynonym" in one["sql"] for one in queries)


@pytest.mark.django_db
def test_many_writes_of_a_transaction_make_the_texts_anew_once() -> None:
    made = build.product()

    @unit_of_work
    def write() -> None:
        with gathering():
            for number in range(5):
                Specification.objects.create(product=made, name_ja="列", value_ja=f"値{number}")

    with CaptureQueriesContext(connection) as queries:
        write()
    assert sum("UPDATE" in one["sql"] for one in queries) == 1
    assert "値 4 " in Product.objects.get().search_text


@pytest.mark.django_db
def test_refresh_mends_what_raw_sql_left() -> None:
    build.product("lamp")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET title_ja = '行灯'")
    assert refresh() == 1
    assert "行灯" in Product.objects.get().search_text
    assert refresh() == 0
