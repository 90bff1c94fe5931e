"""Tracking numbers: folded, asked about when doubtful, corrected with a new mail."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import OrderEvent, Shipment
from ledger.sales.parcels import correct_parcel
from ledger.sales.tracking import is_doubtful, normalise_tracking_number
from ledger.testing import build
from ledger.testing.admin import fields_of


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("１２３４－５６７８－９０１３", "1234-5678-9013"),
        ("123456789013", "1234-5678-9013"),
        (" 1234 5678 9013 ", "1234-5678-9013"),
        ("1234ー5678―9013", "1234-5678-9013"),
        ("１２３４－５６７８－９０１Ａ", "1234-5678-901A"),
        ("ab123456789jp", "AB123456789JP"),
        ("", ""),
        ("－", ""),
    ],
)
def test_a_number_is_folded(typed: str, stored: str) -> None:
    assert normalise_tracking_number(typed) == stored
    assert normalise_tracking_number(stored) == stored


@pytest.mark.parametrize(
    ("number", "doubtful"),
    [
        ("1234-5678-9013", False),  # 12345678901 mod 7 is 3
        ("1234-5678-9012", True),
        ("1234-5678-901A", True),
        ("1234", True),
        ("12345678901", False),  # 11 digits, as 日本郵便 had them
        ("AB123456789JP", False),
    ],
)
def test_a_wrong_check_digit_or_form_is_doubtful(number: str, doubtful: bool) -> None:
    assert is_doubtful(number) == doubtful


@pytest.fixture
def clerk(client: Client) -> Client:
    """Return a client of a user who may view and change orders."""
    user = User.objects.create_user("sato", password="x", is_staff=True)
    names = ["view_order", "ship_order", "view_shipment"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_a_doubtful_number_is_asked_about_once_and_then_taken(clerk: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    address = reverse("admin:ledger_order_ship", args=[order.pk])
    form = fields_of(clerk.get(address)) | {"tracking_number": "１２３４－５６７８－９０１Ａ"}
    asked = clerk.post(address, form)
    assert asked.status_code == 422
    assert not order.shipments.exists()
    assert "1234-5678-901A は検査数字が合わないか" in asked.content.decode()
    sure = fields_of(asked)["sure"]
    assert sure == "1234-5678-901A"
    other = clerk.post(address, form | {"sure": sure, "tracking_number": "1234-5678-9012"})
    assert other.status_code == 422  # another doubtful one is asked about anew
    assert clerk.post(address, form | {"sure": sure}).status_code == 302
    assert order.shipments.get().tracking_number == "1234-5678-901A"


@pytest.mark.django_db
def test_a_tracking_number_is_corrected_with_a_new_mail(clerk: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, prefecture="沖縄県", postal_code="900-0015")
    shipment = build.ship(order, tracking_number="1234-5678-9013")
    address = reverse("admin:ledger_shipment_correct", args=[shipment.pk])
    order_page = reverse("admin:ledger_order_change", args=[order.pk])
    assert address in clerk.get(order_page).content.decode()
    assert 'value="1234-5678-9013"' in clerk.get(address).content.decode()
    form = {"carrier": "佐川急便", "other_carrier": "", "tracking_number": "４０００００００００１２"}
    for _twice in range(2):
        answer = clerk.post(address, form | {"sure": "4000-0000-0012"})
        assert answer["Location"] == order_page
    shipment.refresh_from_db()
    assert (shipment.carrier, shipment.tracking_number) == ("佐川急便", "4000-0000-0012")
    mail = order.mails.get(kind="parcel_corrected")
    assert "4000-0000-0012" in mail.text and "okurijoNo=400000000012" in mail.text
    event = order.events.get(kind=OrderEvent.Kind.PARCEL_CORRECTED)
    assert event.actor == "sato"
    assert event.data["before"] == "ヤマト運輸 1234-5678-9013"
    assert "佐川急便 4000-0000-0012" in clerk.get(order_page).content.decode()
    assert Shipment.objects.get(search_text__contains="400000000012") == shipment


@pytest.mark.django_db
def test_a_correction_that_changes_nothing_writes_no_mail(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    shipment = build.ship(order, tracking_number="1234-5678-9013")
    same = {"carrier": "ヤマト運輸", "tracking_number": "123456789013", "actor": "sato"}
    assert not correct_parcel(shipment, **same, now=timezone.now())
    assert order.mails.filter(kind="parcel_corrected").count() == 0


@pytest.mark.django_db
def test_who_may_only_look_corrects_nothing(client: Client, sandbox: Sandbox) -> None:
    user = User.objects.create_user("guest", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_order", "view_shipment"]))
    client.force_login(user)
    shipment = build.ship(build.paid_order(sandbox), tracking_number="1234-5678-9013")
    address = reverse("admin:ledger_shipment_correct", args=[shipment.pk])
    assert client.post(address, {"carrier": "佐川急便", "tracking_number": "1"}).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    "typed", ["1234-5678-9013", "123456789013", "１２３４－５６７８", "number", "NUMBER"]
)
def test_a_parcel_is_found_in_the_list_as_staff_type_its_number(
    clerk: Client, sandbox: Sandbox, typed: str
) -> None:
    wanted = build.ship(build.paid_order(sandbox), tracking_number="1234-5678-9013")
    build.ship(build.paid_order(sandbox), tracking_number="4000-0000-0012")
    number = wanted.order.number
    typed = {"number": number.lower(), "NUMBER": number}.get(typed, typed)
    answer = clerk.get(reverse("admin:ledger_shipment_changelist"), {"q": typed})
    assert list(answer.context["cl"].result_list) == [wanted]
