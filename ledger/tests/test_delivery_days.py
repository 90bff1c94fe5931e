"""How long parcels take: by prefecture, by carrier, longer to islands; staff maintain the table."""

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from ledger.models import Carrier, DeliveryTime, RemoteArea
from ledger.models.delivery import PREFECTURE_NUMBERS, PREFECTURES
from ledger.sales.delivery import DeliveryTable, load_table

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("prefecture", "postal_code", "days"),
    [
        ("東京都", "150-0001", 1),
        ("東京都", "100-0001", 1),  # Chiyoda, though codes of the Izu Islands begin with 100
        ("東京都", "100-0101", 3),  # Oshima
        ("東京都", "100-2101", 10),  # Chichijima
        ("北海道", "060-0001", 2),
        ("北海道", "097-0311", 4),  # Rishiri
        ("北海道", "097-0005", 2),  # Wakkanai
        ("長崎県", "811-5133", 3),  # Iki
        ("福岡県", "811-0001", 2),
        ("沖縄県", "900-0015", 3),
        ("沖縄県", "907-0001", 5),  # Ishigaki
        ("沖縄県", "907-1801", 6),  # Yonaguni: the longest beginning decides
        ("沖縄県", "901-3801", 10),  # Daito
        ("沖縄県", "901-0101", 3),
    ],
)
def test_a_new_shop_has_days_for_each_prefecture_and_more_for_islands(
    prefecture: str, postal_code: str, days: int
) -> None:
    assert load_table().days(prefecture, postal_code) == days


def test_the_table_is_loaded_with_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        table = load_table()
    assert set(table.days_by_number) == set(range(1, 48))
    assert len(PREFECTURES) == 47


def test_each_carrier_has_days_of_its_own_and_an_unknown_one_those_of_the_usual() -> None:
    times = DeliveryTime.objects.filter(prefecture=PREFECTURE_NUMBERS["大阪府"])
    times.filter(carrier__name="佐川急便").update(days=4)
    assert load_table().days("大阪府") == 1
    assert load_table("佐川急便").days("大阪府") == 4
    assert load_table("自社便").days("大阪府") == 1


def test_rows_name_whole_regions_and_single_prefectures_where_they_differ() -> None:
    table = DeliveryTable(dict.fromkeys(range(1, 48), 1) | {35: 2, 47: 3}, ())
    days = dict(table.rows(english=False))
    assert [str(place) for place in days[2]] == ["山口県"]
    assert [str(place) for place in days[3]] == ["沖縄"]
    assert "近畿" in map(str, days[1])
    assert "広島県" in map(str, days[1])
    assert table.honshu_days == 2


def test_the_beginning_of_a_postal_code_belongs_to_one_area() -> None:
    area = RemoteArea(name="佐渡", prefecture=15, postal_prefixes="952", more_days=1)
    with pytest.raises(ValidationError, match="952"):
        area.full_clean()
    with pytest.raises(ValidationError):
        RemoteArea(name="x", prefecture=15, postal_prefixes="95a", more_days=1).full_clean()


def test_staff_change_days_and_the_usual_carrier_in_the_admin(admin_client: Client) -> None:
    carrier = Carrier.objects.get(name="佐川急便")
    times = list(carrier.times.order_by("prefecture"))
    form = {
        "name": carrier.name,
        "tracking_url": carrier.tracking_url,
        "position": "1",
        "times-TOTAL_FORMS": "47",
        "times-INITIAL_FORMS": "47",
    }
    for place, time in enumerate(times):
        form |= {f"times-{place}-id": str(time.pk), f"times-{place}-carrier": str(carrier.pk)}
        form[f"times-{place}-days"] = "6" if time.prefecture == 47 else str(time.days)
    address = f"/admin/ledger/carrier/{carrier.pk}/change/"
    assert "沖縄県" in admin_client.get(address).content.decode()
    answer = admin_client.post(address, form)
    assert answer.status_code == 302, answer.content.decode()
    assert load_table("佐川急便").days("沖縄県") == 6
    assert load_table().days("沖縄県") == 3
    chosen = {"action": "make_usual", "_selected_action": [str(carrier.pk)]}
    assert admin_client.post("/admin/ledger/carrier/", chosen).status_code == 302
    assert load_table().days("沖縄県") == 6
    assert list(Carrier.objects.filter(is_usual=True)) == [carrier]


def test_a_new_carrier_starts_with_the_days_of_the_usual_one(admin_client: Client) -> None:
    form = {"name": "西濃運輸", "tracking_url": "https://example.jp/?n={number}", "position": "9"}
    assert admin_client.post("/admin/ledger/carrier/add/", form).status_code == 302
    made = Carrier.objects.get(name="西濃運輸")
    assert made.times.count() == 47
    assert load_table("西濃運輸").days("沖縄県") == 3
    refused = admin_client.post(
        "/admin/ledger/carrier/add/", form | {"name": "x", "tracking_url": "http://x"}
    )
    assert refused.status_code == 200


def test_the_usual_carrier_cannot_be_deleted(admin_client: Client) -> None:
    usual = Carrier.objects.get(is_usual=True)
    assert admin_client.post(f"/admin/ledger/carrier/{usual.pk}/delete/", {"post": "yes"}).status_code == 403
    other = Carrier.objects.get(name="日本郵便")
    assert admin_client.post(f"/admin/ledger/carrier/{other.pk}/delete/", {"post": "yes"}).status_code == 302
    assert set(Carrier.objects.values_list("name", flat=True)) == {"ヤマト運輸", "佐川急便"}
