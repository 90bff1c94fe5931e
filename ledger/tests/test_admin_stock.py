"""Admin of stock, Stripe events and mails: actions call domain functions, and no row can be edited."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.models import OutgoingMail, StockItem, StripeEvent
from ledger.sales import mail, stock
from ledger.testing import build

pytestmark = pytest.mark.django_db


def action_of(model: str, pk: object, action: str) -> str:
    return reverse(f"admin:ledger_{model}_change", args=[pk]).replace("change/", f"{action}/")


def nonce_of(answer: Any) -> str:
    found = re.search(r'name="nonce" value="([^"]+)"', answer.content.decode())
    assert found
    return found[1]


def test_a_receipt_form_that_is_sent_twice_receives_once(admin_client: Client) -> None:
    item = build.item("A", 5)
    url = action_of("stockitem", item.pk, "receive")
    data = {"nonce": nonce_of(admin_client.get(url)), "quantity": "7", "note": "入荷"}
    for _click in range(2):
        assert admin_client.post(url, data).status_code == 302
    item.refresh_from_db()
    assert item.on_hand == 12
    movement = item.movements.order_by("-pk")[0]
    assert (movement.quantity, movement.note, movement.actor) == (7, "入荷", "admin")
    page = admin_client.get(reverse("admin:ledger_stockitem_change", args=[item.pk])).content.decode()
    assert "入荷" in page and "+7" in page


def test_a_count_corrects_the_stock_and_requires_a_reason(admin_client: Client) -> None:
    item = build.item("A", 5)
    stock.reserve({item.pk: 2})
    url = action_of("stockitem", item.pk, "count")
    nonce = nonce_of(admin_client.get(url))
    assert (
        admin_client.post(url, {"nonce": nonce, "quantity": "3", "note": "", "reason": "count"}).status_code
        == 422
    )
    assert admin_client.post(url, {"nonce": nonce, "quantity": "3", "note": "棚卸"}).status_code == 422
    assert (
        admin_client.post(
            url, {"nonce": nonce, "quantity": "1", "note": "棚卸", "reason": "count"}
        ).status_code
        == 422
    )
    item.refresh_from_db()
    assert item.on_hand == 5
    assert (
        admin_client.post(
            url, {"nonce": nonce, "quantity": "3", "note": "棚卸", "reason": "disposal"}
        ).status_code
        == 302
    )
    item.refresh_from_db()
    assert item.on_hand == 3
    assert item.movements.get(kind="adjustment").reason == "disposal"


def test_a_count_may_be_zero(admin_client: Client) -> None:
    item = build.item("A", 5)
    url = action_of("stockitem", item.pk, "count")
    data = {"nonce": nonce_of(admin_client.get(url)), "quantity": "0", "note": "棚卸", "reason": "count"}
    assert admin_client.post(url, data).status_code == 302
    item.refresh_from_db()
    assert item.on_hand == 0


@pytest.mark.parametrize("quantity", ["0", "-1", "", "x", "1000001"])
def test_an_invalid_receipt_is_refused(admin_client: Client, quantity: str) -> None:
    item = build.item("A", 5)
    url = action_of("stockitem", item.pk, "receive")
    data = {"nonce": nonce_of(admin_client.get(url)), "quantity": quantity, "note": ""}
    assert admin_client.post(url, data).status_code == 422
    assert StockItem.objects.get().on_hand == 5


def test_the_quantities_of_stock_cannot_be_edited(admin_client: Client) -> None:
    item = build.item("A", 5)
    url = reverse("admin:ledger_stockitem_change", args=[item.pk])
    assert admin_client.post(url, {"on_hand": "99", "sku": "A"}).status_code == 403
    item.refresh_from_db()
    assert item.on_hand == 5


def test_a_failed_event_can_be_processed_again(admin_client: Client, sandbox: Sandbox) -> None:
    build.paid_order(sandbox)
    event = StripeEvent.objects.filter(type="payment_intent.succeeded").get()
    StripeEvent.objects.update(status=StripeEvent.Status.FAILED, last_error="KeyError: 'x'")
    url = action_of("stripeevent", event.pk, "process")
    assert admin_client.get(url).status_code == 200  # a confirmation page: a GET request changes nothing
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.FAILED
    assert admin_client.post(url).status_code == 302
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.DONE

    others = [str(pk) for pk in StripeEvent.objects.values_list("pk", flat=True)]
    answer = admin_client.post(
        reverse("admin:ledger_stripeevent_changelist"),
        {"action": "process_again", "_selected_action": others},
    )
    assert answer.status_code == 302
    assert not StripeEvent.objects.exclude(status=StripeEvent.Status.DONE).exists()


def test_a_mail_is_shown_as_html_and_can_be_sent_again(admin_client: Client, sandbox: Sandbox) -> None:
    build.paid_order(sandbox)
    row = OutgoingMail.objects.get()
    mail.send_due(now=timezone.now())
    page = admin_client.get(reverse("admin:ledger_outgoingmail_change", args=[row.pk])).content.decode()
    assert "<iframe sandbox" in page
    assert "&lt;!doctype html&gt;" in page
    url = action_of("outgoingmail", row.pk, "send")
    assert admin_client.get(url).status_code == 200
    row.refresh_from_db()
    assert row.status == OutgoingMail.Status.SENT
    assert admin_client.post(url).status_code == 302
    row.refresh_from_db()
    assert row.status == OutgoingMail.Status.QUEUED


def test_items_with_low_stock_can_be_listed(admin_client: Client) -> None:
    for sku, on_hand, reserved in (("EMPTY", 0, 0), ("PROMISED", 3, 3), ("FEW", 7, 2), ("MANY", 9, 2)):
        item = build.item(sku, on_hand)
        if reserved:
            stock.reserve({item.pk: reserved})
    address = reverse("admin:ledger_stockitem_changelist")
    for chosen, wanted in (("none", {"EMPTY", "PROMISED"}), ("few", {"EMPTY", "PROMISED", "FEW"})):
        content = admin_client.get(address, {"shelf": chosen}).content.decode()
        assert {sku for sku in ("EMPTY", "PROMISED", "FEW", "MANY") if f">{sku}<" in content} == wanted
