"""Konbini in the admin: the deadline of a waiting order, and the state of its refund."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.models import Order, Refund
from ledger.testing import build
from ledger.testing.admin import fields_of, page_of

pytestmark = pytest.mark.django_db


def order_with_voucher(sandbox: Sandbox) -> Order:
    """Return an order whose voucher was issued now."""
    order = build.order()
    sandbox.choose_konbini(build.session_of(order))
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


def deadline_of(order: Order, sandbox: Sandbox) -> str:
    local = build.now_of(sandbox) + timedelta(hours=9, days=3)
    return f"{local.month}月{local.day}日"


def test_the_deadline_of_a_voucher_is_on_the_list_the_orders_page_and_the_dashboard(
    admin_client: Client, sandbox: Sandbox
) -> None:
    order = order_with_voucher(sandbox)
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


def test_the_cancel_page_warns_that_a_voucher_cannot_be_revoked(staff: Client, sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    answer = staff.get(page_of(order, "cancel"))
    assert "番号を取り消すことはできません" in answer.content.decode()
    staff.post(page_of(order, "cancel"), fields_of(answer))
    order.refresh_from_db()
    assert order.status == "cancelled"
    assert "入金があった場合は返金されます" in staff.get(page_of(order)).content.decode()


def test_a_waiting_refund_is_explained(admin_client: Client, sandbox: Sandbox) -> None:
    order = order_with_voucher(sandbox)
    sandbox.pay_voucher(str(order.attempts.get().session_id))
    build.deliver(sandbox)
    form = fields_of(admin_client.get(page_of(order, "refund"))) | {"what": "amount", "amount": "500"}
    preview = admin_client.post(page_of(order, "refund"), form)
    assert f"Stripeから {order.email} へ返金先口座の確認メールが送られます" in preview.content.decode()
    form = form | fields_of(preview) | {"what": "amount"}
    answer = admin_client.post(page_of(order, "refund"), form, follow=True)
    page = answer.content.decode()
    assert f"Stripeから {order.email} へ返金先口座の確認メールが送られます" in page
    assert "お客様の口座情報待ち" in page
    assert "コンビニ" in page
    refund = order.refunds.get()
    shown = admin_client.get(reverse("admin:ledger_refund_change", args=[refund.pk])).content.decode()
    assert "未払金（返金）（2120）" in shown
    assert "お客様の口座情報待ち" in shown
    assert "requires_action" not in shown


def test_the_list_of_refunds_shows_each_status_in_japanese(admin_client: Client, sandbox: Sandbox) -> None:
    refund = build.refund(build.paid_order(sandbox), 500)
    for status in Refund.Status:
        Refund.objects.filter(pk=refund.pk).update(status=status)
        listed = admin_client.get(reverse("admin:ledger_refund_changelist")).content.decode()
        assert str(status.label) in listed.partition("<tbody")[2].partition("</tbody>")[0]
