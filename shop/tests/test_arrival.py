"""When a parcel arrives: all texts take it from one table, and say for where."""

import pytest
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.utils import timezone
from django.utils.translation import override
from pytest_django import DjangoAssertNumQueries

from ledger.models import DeliveryTime
from ledger.models.delivery import PREFECTURE_NUMBERS
from ledger.sales.delivery import expected_delivery
from shop.delivery import parse_destination
from shop.demo.pages import PAGES
from shop.models import ContentPage
from shop.pages.store import PageStore
from shop.templatetags.shop import short_day
from shop.testing import build
from shop.testing.checkout import confirmation
from shop.testing.wsgi import ask

pytestmark = pytest.mark.django_db
OKINAWA = {"prefecture": "沖縄県", "postal_code": "900-0015", "city": "那覇市", "street": "久茂地1-2-3"}
ISHIGAKI = {"prefecture": "沖縄県", "postal_code": "907-0012", "city": "石垣市", "street": "美崎町1"}


@pytest.fixture(autouse=True)
def goods() -> None:
    """Create a lamp."""
    build.product()


def arrival(days: int, language: str = "ja") -> str:
    """Return the day on which a parcel that is ordered now arrives after `days`, as pages have it."""
    with override(language):
        return short_day(expected_delivery(timezone.now(), days).arrival)


def test_the_product_page_tells_the_delivery_to_honshu_and_says_so(client: Client) -> None:
    page = client.get("/products/madoka/").content.decode()
    assert f"本州へ {arrival(2)}頃までにお届け" in page
    english = client.get("/en/products/madoka/").content.decode()
    assert f"delivered to Honshu by about {arrival(2, 'en')}" in english


@pytest.mark.parametrize(
    ("address", "cookie", "days", "place"),
    [
        ({}, "13", 1, "東京都"),
        (OKINAWA, "47", 3, "沖縄県"),
        (ISHIGAKI, "47-907", 5, "宮古島・石垣島・西表島など"),
    ],
)
def test_confirmation_and_product_page_tell_the_arrival_at_the_typed_address(
    client: Client, address: dict[str, str], cookie: str, days: int, place: str
) -> None:
    build.fill_cart(client, ("SKU-madoka", 1))
    build.type_address(client, **address)
    assert f"{arrival(days)}頃にお届けします" in client.get("/checkout/confirm/").content.decode()
    assert client.cookies["destination"].value == cookie
    part = client.get("/arrival/", {"to": cookie}).content.decode()
    assert f"{place}へ {arrival(days)}頃までにお届け" in part
    # the page itself has the same bytes for every visitor
    assert client.get("/products/madoka/").content == Client().get("/products/madoka/").content


def test_what_staff_change_is_told_by_all_texts_at_once(client: Client) -> None:
    for page in PAGES:
        ContentPage.objects.create(slug=page.slug, title_ja=page.title.ja, body_ja=page.body.ja)
    build.fill_cart(client, ("SKU-madoka", 1))
    okinawa = DeliveryTime.objects.filter(carrier__is_usual=True, prefecture=PREFECTURE_NUMBERS["沖縄県"])
    okinawa.update(days=9)
    tokyo = DeliveryTime.objects.filter(carrier__is_usual=True, prefecture=PREFECTURE_NUMBERS["東京都"])
    tokyo.update(days=4)
    legal = client.get("/pages/tokushoho/").content.decode()
    assert "本州 1〜4 日" in legal
    assert "沖縄 9 日" in legal
    table = client.get("/pages/shipping/").content.decode()
    assert '<th scope="row">9 日</th><td>沖縄</td>' in table
    assert '<th scope="row">4 日</th><td>東京都</td>' in table
    assert f"本州へ {arrival(4)}頃" in client.get("/products/madoka/").content.decode()
    assert f"{arrival(4)}頃にお届けします" in confirmation(client)
    for text in (legal, table):
        assert "{{" not in text
        assert "翌々日" not in text


@pytest.mark.django_db(transaction=True)
def test_a_stored_product_page_is_rendered_anew_when_the_days_change() -> None:
    store = PageStore(get_wsgi_application())
    before = ask(store, "/products/madoka/").body
    DeliveryTime.objects.filter(carrier__is_usual=True).update(days=20)
    after = ask(store, "/products/madoka/").body
    assert arrival(2) in before.decode()
    assert arrival(20) in after.decode()


@pytest.mark.parametrize("text", ["", "0", "48", "47-", "47-90", "47-90700000", "x", "1\n", "１３", "13-1e5"])
def test_a_destination_that_is_none_is_not_found(client: Client, text: str) -> None:
    assert parse_destination(text) is None
    assert client.get("/arrival/", {"to": text}).status_code == 404


def test_the_arrival_takes_one_query_and_no_session(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(1):
        answer = client.get("/en/arrival/?to=47-907")
    assert not answer.cookies
    assert "Miyako, Ishigaki, Iriomote" in answer.content.decode()
