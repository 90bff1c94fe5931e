"""The search of the admin: orders are found as staff type them, and their folded text stays true."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from kikaku.folded import refold
from kikaku.text import fold_number
from ledger.admin.orders import OrderAdmin
from ledger.models import Order, OrderLine, Shipment
from ledger.testing import build

pytestmark = pytest.mark.django_db

LIST = "/admin/ledger/order/"
PLACED = datetime(2026, 11, 28, 16, 0, tzinfo=UTC)  # 29 November in Japan


@pytest.fixture
def orders() -> tuple[Order, Order]:
    """Place the order of 髙木 誠, and another one."""
    wanted, other = build.order(nonce="a"), build.order(nonce="b")
    Order.objects.filter(pk=wanted.pk).update(
        family_name="髙木",
        given_name="誠",
        family_name_kana="タカギ",
        given_name_kana="マコト",
        phone="090-0000-6915",
        postal_code="150-0001",
        prefecture="東京都",
        city="渋谷区",
        street="神宮前１−２−３",
        email="makoto-t@example.jp",
        number="K261129-7XQ2M",
        placed_at=PLACED,
    )
    Order.objects.filter(pk=other.pk).update(
        family_name="山田",
        given_name="花子",
        phone="03-1111-1111",
        postal_code="530-0001",
        prefecture="大阪府",
        city="北区",
        street="梅田4-5-6",
        number="K261130-AAAAA",
        placed_at=PLACED + timedelta(days=1),
    )
    OrderLine.objects.filter(order=wanted).update(
        title="シーリングライト まどか 8畳（電球色）", sku="CL-08-L"
    )
    OrderLine.objects.filter(order=other).update(title="LED 電源", sku="PW-24")
    Shipment.objects.create(
        order=wanted, nonce="p", carrier="ヤマト運輸", tracking_number="1234-5678-9012", shipped_at=PLACED
    )
    wanted.refresh_from_db()
    other.refresh_from_db()
    return wanted, other


@pytest.mark.parametrize(
    "typed",
    [
        "090-0000-6915", "09000006915", "０９０－００００－６９１５", "(090)0000-6915", "+8190-0000-6915",
        "6915", "髙木 誠", "髙木誠", "高木", "高木　誠", "たかぎ", "ﾀｶｷﾞ", "タカギマコト", "たかぎ まこと",
        "150-0001", "1500001", "〒１５０－０００１", "渋谷区", "東京都渋谷区神宮前1-2-3", "神宮前123",
        "シーリングライト まどか", "ｼｰﾘﾝｸﾞ", "まどか8畳", "CL-08-L", "cl08l", "K261129-7XQ2M", "k2611297xq2m",
        "7XQ2M", "makoto-t@example.jp", "MAKOTO", "1234-5678-9012", "１２３４５６７８９０１２", "2026-11-29",
        "2026/11/29", "2026年11月29日", "２０２６／１１／２９", "２０２６ー１１ー２９", "高木 渋谷 まどか",
    ],
)  # fmt: skip
def test_an_order_is_found_as_staff_type_it(
    admin_client: Client, orders: tuple[Order, Order], typed: str
) -> None:
    page = admin_client.get(LIST, {"q": typed}).content.decode()
    wanted, other = orders
    assert wanted.number in page
    assert other.number not in page


@pytest.mark.parametrize("typed", ["9999-12-31", "0001-01-01", "2026-02-30", "99999999999"])
def test_a_day_or_an_amount_that_cannot_be_finds_nothing(
    admin_client: Client, orders: tuple[Order, Order], typed: str
) -> None:
    answer = admin_client.get(LIST, {"q": typed})
    assert answer.status_code == 200
    assert not any(order.number in answer.content.decode() for order in orders)


def test_an_order_is_found_by_its_amount(admin_client: Client, orders: tuple[Order, Order]) -> None:
    wanted, other = orders
    Order.objects.filter(pk=other.pk).update(
        goods_total=99_000, discount=0, shipping_fee=0, total=99_000, tax_standard=9_000
    )
    for typed in ("99000", "99,000", "¥99,000", "９９，０００円"):
        page = admin_client.get(LIST, {"q": typed}).content.decode()
        assert other.number in page and wanted.number not in page


@pytest.mark.parametrize("typed", ["高木", "09000006915", "zzz"])
def test_a_search_whose_rows_fit_on_one_page_reads_the_tables_once(
    admin_client: Client, orders: tuple[Order, Order], typed: str
) -> None:
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(LIST, {"q": typed})
    searches = [
        one["sql"] for one in queries.captured_queries if "search_text" in one["sql"].split("WHERE")[-1]
    ]
    assert [sql.count("LIKE") for sql in searches] == [3]  # orders, lines and parcels


def test_a_search_with_more_rows_than_a_page_shows_them_page_by_page(
    admin_client: Client, orders: tuple[Order, Order], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OrderAdmin, "list_per_page", 1)
    wanted, other = orders
    Order.objects.filter(pk=other.pk).update(placed_at=PLACED + timedelta(days=1))
    for page, shown, hidden in (("1", other, wanted), ("2", wanted, other)):
        answer = admin_client.get(LIST, {"q": "example.jp", "p": page})
        assert [order.number for order in answer.context["cl"].result_list] == [shown.number]
        assert answer.context["cl"].result_count == 2
        assert hidden.number not in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"placed_at_from": "2026-11-29", "placed_at_to": "2026-11-29"}, (True, False)),
        ({"placed_at_from": "2026-11-30"}, (False, True)),
        ({"placed_at_to": "2026/11/28"}, (False, False)),
        ({"total_from": "90000"}, (False, True)),
        ({"total_from": "1", "total_to": "89,999"}, (True, False)),
        ({"total_from": "x", "placed_at_from": "yesterday"}, (True, True)),
        ({"placed_at_from": "0001-01-01", "placed_at_to": "9999-12-31"}, (True, True)),  # no bounds in UTC
    ],
)
def test_orders_are_filtered_by_ranges_of_days_and_amounts(
    admin_client: Client, orders: tuple[Order, Order], query: dict[str, str], found: tuple[bool, bool]
) -> None:
    wanted, other = orders
    Order.objects.filter(pk=other.pk).update(
        goods_total=99_000, discount=0, shipping_fee=0, total=99_000, tax_standard=9_000,
        placed_at=datetime(2026, 11, 29, 15, 0, tzinfo=UTC),  # midnight, so the 30th
    )  # fmt: skip
    answer = admin_client.get(LIST, query)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert (wanted.number in page, other.number in page) == found


def test_the_folded_text_of_an_order_is_true_however_it_is_written() -> None:
    order = build.order()
    assert refold(Order.objects.all()) == refold(OrderLine.objects.all()) == 0
    order.city = "目黒区"
    order.save(update_fields=["city"])
    assert "目黒区" in Order.objects.get().search_text
    Order.objects.filter(city="目黒区").update(city="港区")
    assert "港区" in Order.objects.get().search_text
    order.refresh_from_db()
    order.phone = "0120-000-000"
    Order.objects.bulk_update([order], ["phone"])
    assert "0120000000" in Order.objects.get().search_text
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_order SET city = '中央区'")
    assert refold(Order.objects.all()) == 1
    assert "中央区" in Order.objects.get().search_text


def test_an_update_of_other_columns_costs_nothing_more(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    build.order()
    with django_assert_num_queries(1):
        Order.objects.update(note="x")


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("090-0000-6915", "09000006915"),
        ("＋８１ ９０ー００００ー６９１５", "09000006915"),
        ("(03)1111.1111", "0311111111"),
        ("CL-08", ""),
        ("", ""),
    ],
)
def test_a_number_is_its_digits(typed: str, digits: str) -> None:
    assert fold_number(typed) == digits
