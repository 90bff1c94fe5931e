"""Admin of orders: search, page, shipping, refunds, cancellation; no row can be edited."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import Refund, Shipment, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales.refunds import Side
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of

pytestmark = pytest.mark.django_db


def test_the_list_is_searched_by_number_mail_and_name_without_a_query_per_row(
    staff: Client, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    line = build.line("A", on_hand=100)
    orders = [build.order([line]) for _order in range(12)]
    other = build.order([line], email="taro@example.jp", family_name="鈴木", given_name="太郎")
    url = reverse("admin:ledger_order_changelist")
    with django_assert_max_num_queries(10):
        page = staff.get(url).content.decode()
    assert all(order.number in page for order in orders)
    assert "¥11,500" in page
    for query in (other.number, "taro@example", "鈴木 太郎"):
        found = staff.get(url, {"q": query}).content.decode()
        assert other.number in found
        assert orders[0].number not in found
    assert other.number not in staff.get(url, {"status__exact": "paid"}).content.decode()


def test_the_page_of_an_order_shows_everything_in_a_bounded_number_of_queries(
    staff: Client, sandbox: Sandbox, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    order = build.paid_order(sandbox, [build.line("A", quantity=5), build.line("B", tax_class="reduced")])
    build.fetch(sandbox)
    for _parcel in range(3):
        build.ship(order, {order.lines.order_by("position")[0].pk: 1})
    build.refund(order, 700, side=Side.SHIPPED)
    # Django asks for the permissions of those who are no superuser (2); of an order that waits for its rest
    # it is asked whether money is left for it (5)
    with django_assert_max_num_queries(10 + 2 + 5):
        page = staff.get(page_of(order)).content.decode()
    for text in (order.number, "¥700", "1234-5678-9012", "cs_test_", "pi_", "入金", "出荷", "山田 花子"):
        assert text in page, text
    assert order.token in page  # staff may open the customer's page
    assert order.nonce not in page
    assert "/ship/" in page and "/refund/" in page and "/cancel/" in page


def test_the_page_of_an_order_reads_each_of_its_tables_once(admin_client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line("A", quantity=2), build.line("B", tax_class="reduced")])
    build.fetch(sandbox)
    lines = order.lines.order_by("position")
    build.ship(order, {lines[0].pk: 1})
    build.ship(order, {lines[0].pk: 1, lines[1].pk: 1})
    build.refund(order, 700)
    build.refund(order, 300)
    admin_client.get(page_of(order))
    with CaptureQueriesContext(connection) as captured:
        page = admin_client.get(page_of(order)).content.decode()
    tables = [re.search(r' FROM "(\w+)"', query["sql"]) for query in captured.captured_queries]
    names = [found[1] for found in tables if found]
    assert len(names) == len(set(names)) <= 11, names
    for text in (f"A × 1、{lines[1].title} × 1", "¥1,000", "前受金", "発送"):
        assert text in page, text


def test_a_shipping_form_that_is_sent_twice_ships_once(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line("A", quantity=3)])
    line = order.lines.get()
    form = fields_of(staff.get(page_of(order, "ship")))
    assert form[f"line_{line.pk}"] == "3"  # all that is left is filled in
    data = form | {f"line_{line.pk}": "2", "carrier": "佐川急便", "tracking_number": "4000-0000-0013"}
    for _click in range(2):
        answer = staff.post(page_of(order, "ship"), data)
        assert answer.status_code == 302
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    shipment = Shipment.objects.get()
    stored = (shipment.carrier, shipment.tracking_number, shipment.actor)
    assert stored == ("佐川急便", "4000-0000-0013", "sato")
    assert StockItem.objects.get().on_hand == 98


@pytest.mark.parametrize(
    "wrong",
    [
        {"pieces": "4"},
        {"pieces": "-1"},
        {"pieces": "x"},
        {"pieces": "0"},
        {"carrier": "other"},
        {"carrier": "Hermes"},
    ],
)
def test_an_invalid_shipping_form_shows_its_errors_and_changes_nothing(
    staff: Client, sandbox: Sandbox, wrong: dict[str, str]
) -> None:
    order = build.paid_order(sandbox, [build.line("A", quantity=3)])
    line = order.lines.get()
    data = fields_of(staff.get(page_of(order, "ship")))
    data |= {f"line_{line.pk}" if name == "pieces" else name: value for name, value in wrong.items()}
    data["tracking_number"] = "typed-before"
    answer = staff.post(page_of(order, "ship"), data)
    assert answer.status_code == 422
    assert "errornote" in answer.content.decode()
    assert "typed-before" in answer.content.decode()
    assert not Shipment.objects.exists()


def test_another_carrier_can_be_entered(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    data = fields_of(staff.get(page_of(order, "ship"))) | {"carrier": "other", "other_carrier": "西濃運輸"}
    assert staff.post(page_of(order, "ship"), data).status_code == 302
    assert Shipment.objects.get().carrier == "西濃運輸"


def test_a_refund_is_previewed_then_sent_once(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line("A", price=3_000, quantity=2)])
    build.ship(order)
    line = order.lines.get()
    data = fields_of(staff.get(page_of(order, "refund")))
    data |= {"what": "pieces", f"return_{line.pk}": "1", "restock": "on", "reason": "傷"}
    previewed = staff.post(page_of(order, "refund"), data)
    assert previewed.status_code == 200
    assert "¥3,000" in previewed.content.decode()
    assert not Refund.objects.exists()

    confirmed = fields_of(previewed) | {"what": "pieces"}
    assert confirmed["confirmed"]
    for _click in range(2):
        assert staff.post(page_of(order, "refund"), confirmed).status_code == 302
    refund = Refund.objects.get()
    assert (refund.amount, refund.status, refund.actor, refund.reason) == (3_000, "succeeded", "sato", "傷")
    assert StockItem.objects.get().on_hand == 99


def test_a_refund_that_is_changed_after_its_preview_is_previewed_again(
    staff: Client, sandbox: Sandbox
) -> None:
    order = build.paid_order(sandbox)
    data = fields_of(staff.get(page_of(order, "refund"))) | {"what": "amount", "amount": "500"}
    confirmed = fields_of(staff.post(page_of(order, "refund"), data)) | {"what": "amount", "amount": "5000"}
    again = staff.post(page_of(order, "refund"), confirmed)
    assert again.status_code == 200
    assert "¥5,000" in again.content.decode()
    assert not Refund.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "amount", "amount": "99999"},
        {"what": "amount", "amount": ""},
        {"what": "amount", "amount": "-1"},
        {"what": "pieces"},
        {"what": "else"},
    ],
)
def test_an_invalid_refund_form_shows_its_errors_and_sends_nothing(
    staff: Client, sandbox: Sandbox, wrong: dict[str, str]
) -> None:
    order = build.paid_order(sandbox)
    data = fields_of(staff.get(page_of(order, "refund"))) | wrong | {"confirmed": "99999"}
    answer = staff.post(page_of(order, "refund"), data)
    assert answer.status_code == 422
    assert "errornote" in answer.content.decode()
    assert not Refund.objects.exists()


def test_everything_that_is_left_is_refunded(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    data = fields_of(staff.get(page_of(order, "refund"))) | {"what": "everything"}
    confirmed = fields_of(staff.post(page_of(order, "refund"), data)) | {"what": "everything"}
    assert staff.post(page_of(order, "refund"), confirmed).status_code == 302
    assert Refund.objects.get().amount == order.total


def test_while_stripe_is_unavailable_the_refund_is_kept_and_the_page_says_so(
    staff: Client, sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    data = fields_of(staff.get(page_of(order, "refund"))) | {"what": "amount", "amount": "500"}
    data |= fields_of(staff.post(page_of(order, "refund"), data)) | {"what": "amount"}
    answer = staff.post(page_of(order, "refund"), data, follow=True)
    assert "Stripe" in answer.content.decode()
    assert Refund.objects.get().status == Refund.Status.REQUESTED


def test_a_cancellation_that_is_sent_twice_cancels_once(staff: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    data = fields_of(staff.get(page_of(order, "cancel"))) | {"reason": "customer"}
    for _click in range(2):
        assert staff.post(page_of(order, "cancel"), data).status_code == 302
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "customer")
    assert Refund.objects.get().actor == "sato"


def test_a_cancellation_that_is_refused_shows_the_reason(
    staff: Client, sandbox: Sandbox, settings: Settings
) -> None:
    shipped = build.paid_order(sandbox, [build.line("A")])
    build.ship(shipped)
    answer = staff.post(page_of(shipped, "cancel"), {"nonce": "n", "reason": "staff"})
    assert answer.status_code == 422

    pending = build.order([build.line("B")])
    build.session_of(pending)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    answer = staff.post(page_of(pending, "cancel"), {"nonce": "n", "reason": "staff"})
    assert answer.status_code == 422
    assert "Stripe" in answer.content.decode()
    pending.refresh_from_db()
    assert pending.status == OrderStatus.PENDING


@pytest.mark.parametrize("action", ["ship", "refund", "keep", "cancel"])
def test_actions_require_their_own_permissions(client: Client, sandbox: Sandbox, action: str) -> None:
    order = build.paid_order(sandbox)
    viewer = User.objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_order"))
    client.force_login(viewer)
    assert f"/{action}/" not in client.get(page_of(order)).content.decode()
    assert client.get(page_of(order, action)).status_code == 403
    assert client.post(page_of(order, action), {"nonce": "n"}).status_code == 403


def test_a_form_whose_nonce_has_a_nul_is_refused(staff: Client, sandbox: Sandbox) -> None:
    """PostgreSQL rejects NUL in a comparison, too."""
    order = build.paid_order(sandbox)
    for action in ("ship", "refund", "keep"):
        answer = staff.post(page_of(order, action), {"nonce": "a\x00b"})
        assert answer.status_code == 422 and "nonce" in answer.context["form"].errors


@pytest.mark.parametrize("action", ["ship", "refund", "keep", "cancel"])
def test_actions_are_closed_to_users_who_are_not_staff(client: Client, sandbox: Sandbox, action: str) -> None:
    order = build.paid_order(sandbox)
    assert client.post(page_of(order, action), {"nonce": "n"}).status_code == 302  # to the login
    client.force_login(User.objects.create_user("customer", password="x"))
    assert client.post(page_of(order, action), {"nonce": "n"}).status_code == 302
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


def test_orders_cannot_be_added_changed_or_deleted(admin_client: Client, sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    assert admin_client.get(reverse("admin:ledger_order_add")).status_code == 403
    assert admin_client.post(page_of(order), {"status": "shipped"}).status_code == 403
    assert admin_client.get(reverse("admin:ledger_order_delete", args=[order.pk])).status_code == 403
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID


def test_every_model_of_the_ledger_is_read_only_even_for_a_superuser(admin_client: Client) -> None:
    own = {"account", "carrier", "orderallowance", "remotearea", "taxstatus"}  # staff may add these
    names = [model._meta.model_name for model in site._registry if model._meta.app_label == "ledger"]
    assert {"order", "payment", "refund", "shipment", "stockitem", "stockmovement", "stripeevent"} <= set(
        names
    )
    for name in names:
        assert admin_client.get(reverse(f"admin:ledger_{name}_changelist")).status_code == 200, name
        if name not in own:
            assert admin_client.get(reverse(f"admin:ledger_{name}_add")).status_code == 403, name
