"""Konbini in the admin: until when an order waits at the counter, and what a waiting refund means."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.models import Order, Refund
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of

pytestmark = pytest.mark.django_db


def with_voucher(sandbox: Sandbox) -> Order:
    """Order and choose the convenience store, by the real clock."""
    order = build.order()
    sandbox.choose_konbini(build.session_of(order))
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


def deadline_of(order: Order, sandbox: Sandbox) -> str:
    local = build.now_of(sandbox) + timedelta(hours=9, days=3)
    return f"{local.month}月{local.day}日"


def test_list_page_and_first_page_say_until_when_an_order_waits_at_the_counter(
    admin_client: Client, sandbox: Sandbox
) -> None:
    order = with_voucher(sandbox)
    listed = admin_client.get(reverse("admin:ledger_order_changelist")).content.decode()
    assert "コンビニ支払期限" in listed
    assert "23:59" in listed
    page = admin_client.get(page_of(order)).content.decode()
    assert "コンビニでのお支払い待ち" in page
    assert deadline_of(order, sandbox) in page
    today = admin_client.get(reverse("admin:index")).context["tiles"]
    tile = next(tile for tile in today if tile.url.endswith("?todo=pay"))
    assert tile.value == "1"
    assert deadline_of(order, sandbox) in tile.note


def test_who_cancels_reads_first_that_the_voucher_can_not_be_revoked(staff: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    answer = staff.get(page_of(order, "cancel"))
    assert "番号を取り消すことはできません" in answer.content.decode()
    staff.post(page_of(order, "cancel"), fields_of(answer))
    order.refresh_from_db()
    assert order.status == "cancelled"
    assert "入金があった場合は返金されます" in staff.get(page_of(order)).content.decode()


def test_a_refund_that_waits_says_what_it_means(admin_client: Client, sandbox: Sandbox) -> None:
    order = with_voucher(sandbox)
    sandbox.pay_voucher(str(order.attempts.get().session_id))
    build.deliver(sandbox)
    form = fields_of(admin_client.get(page_of(order, "refund"))) | {"what": "amount", "amount": "500"}
    preview = admin_client.post(page_of(order, "refund"), form)
    assert f"Stripeから {order.email} へ返金先口座の確認メールが送られます" in preview.content.decode()
    form = fields_of(preview) | form | {"confirmed": "500"}
    answer = admin_client.post(page_of(order, "refund"), form, follow=True)
    page = answer.content.decode()
    assert f"Stripeから {order.email} へ返金先口座の確認メールが送られます" in page
    assert "お客様の口座情報待ち" in page
    assert "コンビニ" in page
    refund = order.refunds.get()
    shown = admin_client.get(reverse("admin:ledger_refund_change", args=[refund.pk])).content.decode()
    assert "返金未払金（2120）" in shown
    assert "お客様の口座情報待ち" in shown
    assert "requires_action" not in shown


def test_the_list_of_refunds_names_each_state_in_words(admin_client: Client, sandbox: Sandbox) -> None:
    refund = build.refund(build.paid_order(sandbox), 500)
    for status in Refund.Status:
        Refund.objects.filter(pk=refund.pk).update(status=status)
        listed = admin_client.get(reverse("admin:ledger_refund_changelist")).content.decode()
        assert str(status.label) in listed.partition("<tbody")[2].partition("</tbody>")[0]
