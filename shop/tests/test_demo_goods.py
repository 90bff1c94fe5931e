"""The demo shop's goods, pictures, texts and people."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import islice
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.demo.canvas import Drawing
from shop.demo.catalogue import ACTIVE, ARCHIVED, CATEGORIES, DRAFT, Product, Text, goods, stream
from shop.demo.colour import FINISHES, light
from shop.demo.drawing import SUBJECTS, VIEWS, UnknownSubject, draw, favicon, hero, logo
from shop.demo.pages import PAGES, Page
from shop.demo.people import people

SVG = "{http://www.w3.org/2000/svg}"
JAPANESE = re.compile(r"[぀-ヿ一-鿿]")
LIMIT = 12_000  # bytes of one picture


def _texts(product: Product) -> Iterator[Text]:
    yield from (product.title, product.description, product.lead_spec)
    for row in product.specifications:
        yield from (row.name, row.value)
    for picture in product.pictures:
        yield picture.alt


def _check_picture(svg: str) -> None:
    """Assert that a picture is safe, well-formed and small, and that all its references are defined."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert not tags & {"script", "image", "use", "foreignObject", "text", "style", "a", "animate", "set"}
    attributes = [pair for element in root.iter() for pair in element.attrib.items()]
    assert not [
        name for name, _ in attributes if name.startswith("on") or name.endswith("href") or name == "style"
    ]
    ids = {value for name, value in attributes if name == "id"}
    used = {used for _, value in attributes for used in re.findall(r"url\((.*?)\)", value)}
    assert used == {f"#{name}" for name in ids}
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"nan|inf[^o]", svg)
    assert len(svg.encode()) < LIMIT


def test_every_category_has_goods_a_room_and_texts_in_both_languages() -> None:
    assert len(CATEGORIES) >= 6
    shelves = [product.category for product in goods()]
    for category in CATEGORIES:
        assert shelves.count(category.slug) >= 5
        for text in (category.name, category.room, category.description):
            assert JAPANESE.search(text.ja)
            assert text.en
            assert not JAPANESE.search(text.en)
    assert set(shelves) == {category.slug for category in CATEGORIES}


def test_there_are_about_forty_products_with_one_draft_and_one_archived() -> None:
    states = [product.status for product in goods()]
    assert 38 <= states.count(ACTIVE) <= 50
    assert states.count(DRAFT) == states.count(ARCHIVED) == 1


def test_every_text_exists_in_japanese_and_in_english() -> None:
    for product in goods():
        for text in _texts(product):
            assert text.ja.strip(), product.slug
            assert text.en.strip(), product.slug
            assert not JAPANESE.search(text.en), (product.slug, text.en)
        for text in (product.title, product.description):
            assert JAPANESE.search(text.ja), product.slug
        assert product.description.ja.count("。") >= 2
        assert len(product.title.ja) <= 120
        assert len(product.lead_spec.ja) <= 80
        assert len(product.lead_spec.en) <= 80
        for variant in product.variants:
            assert bool(variant.option.ja) == bool(variant.option.en)
            assert bool(variant.option.ja) or len(product.variants) == 1
            assert len(variant.option.en) <= 60
            assert not JAPANESE.search(variant.option.en)


def test_specifications_are_five_or_more_rows_without_repetition() -> None:
    for product in goods():
        names = [row.name.ja for row in product.specifications]
        assert 5 <= len(names) <= 14, product.slug
        assert len(names) == len(set(names)), product.slug


def test_no_two_products_share_a_slug_or_a_sku() -> None:
    products = goods(2000)
    assert len(products) == 2000
    slugs = [product.slug for product in products]
    skus = [variant.sku for product in products for variant in product.variants]
    assert len(slugs) == len(set(slugs))
    assert len(skus) == len(set(skus))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 100 for slug in slugs)
    assert all(re.fullmatch(r"[A-Z0-9]+(-[A-Z0-9]+)*", sku) and len(sku) <= 64 for sku in skus)


def test_prices_are_whole_yen_in_range_and_a_compare_at_price_lies_above() -> None:
    for product in goods(2000):
        for variant in product.variants:
            assert 380 <= variant.price <= 59_800, variant.sku
            assert variant.compare_at_price is None or variant.compare_at_price > variant.price
            assert variant.stock >= 0
    drawn = [variant for product in goods() for variant in product.variants]
    assert min(variant.price for variant in drawn) == 380
    assert max(variant.price for variant in drawn) == 59_800
    assert any(variant.compare_at_price for variant in drawn)


def test_only_drink_and_food_carry_the_reduced_rate() -> None:
    classes = {variant.tax_class for product in goods() for variant in product.variants}
    assert classes == {"standard", "reduced"}
    for product in goods():
        eaten = any(row.name.ja == "原材料名" for row in product.specifications)
        expected = "reduced" if eaten else "standard"
        assert {variant.tax_class for variant in product.variants} == {expected}, product.slug


def test_some_goods_are_low_and_some_sold_out() -> None:
    stock = [variant.stock for product in goods() if product.status == ACTIVE for variant in product.variants]
    assert 2 <= stock.count(0) <= 6
    assert any(0 < left <= 5 for left in stock)


def test_four_products_are_featured_in_order() -> None:
    places = sorted(product.featured for product in goods() if product.featured)
    assert places == [1, 2, 3, 4]
    assert all(product.status == ACTIVE for product in goods() if product.featured)


def test_a_variant_shows_the_picture_of_its_own_light() -> None:
    for product in goods():
        for variant in product.variants:
            shown = product.pictures[variant.picture].drawing
            assert shown.view == "portrait"
            assert variant.kelvin is None or shown.kelvin == variant.kelvin, variant.sku


def test_every_product_has_a_second_view_with_its_own_alternative_text() -> None:
    for product in goods():
        assert {picture.drawing.view for picture in product.pictures} > {"portrait"}, product.slug
        alts = [picture.alt.ja for picture in product.pictures if picture.drawing.view != "portrait"]
        assert len(alts) == len(set(alts)), product.slug


def test_every_picture_is_safe_small_and_complete() -> None:
    drawn = {picture.drawing for product in goods() for picture in product.pictures}
    assert {drawing.subject for drawing in drawn} == set(SUBJECTS)
    assert {drawing.view for drawing in drawn} == set(VIEWS)
    for drawing in drawn:
        _check_picture(draw(drawing))
    for svg in (hero(), logo(), favicon()):
        _check_picture(svg)


@given(
    subject=st.sampled_from(sorted(SUBJECTS)),
    view=st.sampled_from(VIEWS),
    finish=st.sampled_from(sorted(FINISHES)),
    kelvin=st.integers(1800, 10_000),
    width=st.integers(1, 6_000),
    height=st.integers(1, 6_000),
    depth=st.integers(0, 6_000),
    count=st.integers(0, 30),
)
def test_any_measure_gives_a_complete_picture(
    subject: str, view: str, finish: str, kelvin: int, width: int, height: int, depth: int, count: int
) -> None:
    _check_picture(draw(Drawing(subject, kelvin, finish, width, height, depth, count, view)))


def test_pictures_and_goods_are_the_same_at_every_call() -> None:
    first, second = goods(120), goods(120)
    assert first == second
    assert [draw(p.pictures[0].drawing) for p in first] == [draw(p.pictures[0].drawing) for p in second]
    assert hero() == hero()


def test_two_pictures_of_one_page_share_no_ids() -> None:
    def ids(drawing: Drawing) -> set[str]:
        return set(re.findall(r' id="(\w+)"', draw(drawing)))

    pictures = [picture.drawing for product in goods()[:10] for picture in product.pictures]
    names = [name for drawing in pictures for name in ids(drawing)]
    assert len(names) == len(set(names))


def test_an_unknown_subject_or_view_is_named() -> None:
    with pytest.raises(UnknownSubject, match="candelabra"):
        draw(Drawing("candelabra"))
    with pytest.raises(UnknownSubject, match="sideways"):
        draw(Drawing("desk-arm", view="sideways"))
    with pytest.raises(ValueError, match="300"):
        draw(Drawing("desk-arm", kelvin=300))


@pytest.mark.parametrize(("kelvin", "warm"), [(2700, True), (3500, True), (6500, False)])
def test_light_is_amber_when_low_and_blue_when_high(kelvin: int, warm: bool) -> None:
    red, blue = int(light(kelvin)[1:3], 16), int(light(kelvin)[5:7], 16)
    assert (red > blue) is warm
    assert max(red, blue) == 255


def test_warmer_light_is_never_bluer() -> None:
    blues = [int(light(kelvin)[5:7], 16) - int(light(kelvin)[1:3], 16) for kelvin in range(1800, 9000, 100)]
    assert blues == sorted(blues)


def test_a_few_goods_are_spread_over_the_categories_and_more_begin_with_them() -> None:
    assert len({product.category for product in goods(7)}) == 7
    assert goods(0) == []
    assert goods(60)[:30] == goods(30)
    assert goods(60)[: len(goods())] == goods()
    with pytest.raises(ValueError, match="-1"):
        goods(-1)


def test_many_thousands_of_products_are_made_one_by_one() -> None:
    late = next(islice(stream(1_000_000), 5_000, None))
    assert late.title.ja.endswith("）")
    _check_picture(draw(late.pictures[0].drawing))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_a_content_page_is_simple_html_in_both_languages_with_a_note_that_it_is_a_sample(page: Page) -> None:
    for body in (page.body.ja, page.body.en):
        parser = _Tags()
        parser.feed(body)
        parser.close()
        assert not parser.open
        assert parser.seen <= {
            "h2",
            "p",
            "ul",
            "ol",
            "li",
            "dl",
            "dt",
            "dd",
            "table",
            "tr",
            "th",
            "td",
            "strong",
            "a",
        }
    assert "見本" in page.body.ja
    assert "sample" in page.body.en
    assert page.title.ja
    assert not JAPANESE.search(page.title.en)
    assert page.body.ja.count("<h2>") == page.body.en.count("<h2>")
    assert page.body.ja.count("<tr>") == page.body.en.count("<tr>")


def test_the_content_pages_are_complete() -> None:
    assert [page.slug for page in PAGES] == ["tokushoho", "privacy", "terms", "returns", "shipping", "faq"]


def test_the_legal_notice_holds_what_article_11_requires() -> None:
    notice = PAGES[0].body.ja
    for item in (
        "販売業者",
        "責任者",
        "所在地",
        "電話番号",
        "販売価格",
        "送料",
        "料金",
        "支払方法",
        "支払時期",
        "引渡時期",
        "返品",
    ):
        assert item in notice


def test_people_are_fictional_consistent_and_the_same_for_a_seed() -> None:
    crowd = people(400, seed=7)
    assert crowd == people(400, seed=7)
    assert crowd[:50] == people(50, seed=7)
    assert crowd != people(400, seed=8)
    assert len({person.email for person in crowd}) == 400
    places = {person.postal_code: (person.prefecture, person.city) for person in crowd}
    for person in crowd:
        assert re.fullmatch(r"\d{7}", person.postal_code)
        assert places[person.postal_code] == (person.prefecture, person.city)
        assert re.fullmatch(r"[ァ-ヶー]+", person.family_name_kana + person.given_name_kana)
        assert re.fullmatch(r"[a-z0-9.]+@example\.(com|jp)", person.email)
        digits = person.phone.replace("-", "")
        assert len(digits) == (11 if digits.startswith("090") else 10)
        assert set(person.phone.split("-")[1]) == {"0"}
    with pytest.raises(ValueError, match="-1"):
        people(-1)
