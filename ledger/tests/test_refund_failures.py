"""Refunds that fail: the customer is told, and what a row tells staff to do is true when it is read."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.trial_balance import net_balance
from ledger.models import Discrepancy, Order, OutgoingMail, Refund
from ledger.models.orders import OrderStatus
from ledger.sales import refunds
from ledger.testing import build
from ledger.testing.dashboard import failed_later, order_paid_twice, refund_in_dashboard
from ledger.testing.konbini import assert_no_findings

Kind = Discrepancy.Kind


@pytest.fixture
def auditor(client: Client) -> Client:
    """Return a client that may see discrepancies and change orders."""
    user = User.objects.create_user("kanri", password="x", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=["view_discrepancy", "view_order", "refund_order"])
    )
    client.force_login(user)
    return client


def page_of(client: Client, row: Discrepancy) -> str:
    return client.get(reverse("admin:ledger_discrepancy_change", args=[row.pk])).content.decode()


@pytest.mark.django_db
def test_a_second_payment_that_was_refunded_in_the_dashboard_first_asks_nobody_to_refund_it(
    sandbox: Sandbox, auditor: Client
) -> None:
    order = order_paid_twice(sandbox)
    refund_in_dashboard(order.payments.get(attempt=order.attempts.latest("pk")))
    build.deliver(sandbox)
    refunds.send_requested(now=build.now_of(sandbox) + timedelta(minutes=5))
    build.deliver(sandbox)
    build.fetch(sandbox)
    ours = order.refunds.get(nonce__startswith="payment-")
    assert ours.status == Refund.Status.FAILED
    assert net_balance(REFUNDS_PAYABLE, order=order) == 0
    assert net_balance(PREPAYMENTS, order=order) == -order.total
    assert not Discrepancy.objects.unresolved().exists()
    row = Discrepancy.objects.get(kind=Kind.REFUND_REPLACED)
    assert row.category == Discrepancy.Category.NOTICE
    assert "対応は不要です" in page_of(auditor, row)
    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    build.ship(order)
    assert net_balance(PREPAYMENTS, order=order) == 0
    assert_no_findings()


@pytest.mark.django_db
def test_a_row_about_a_failed_refund_says_what_is_still_owed_and_ends_when_it_was_refunded_again(
    sandbox: Sandbox, auditor: Client
) -> None:
    refund = failed_later(sandbox, 2_000)
    build.fetch(sandbox)
    row = Discrepancy.objects.get(kind=Kind.REFUND_FAILED)
    form = reverse("admin:ledger_order_refund", args=[refund.order_id])
    assert "¥2,000 をあらためて返金してください" in page_of(auditor, row)
    assert form in page_of(auditor, row)
    asked = auditor.get(form).context["form"]
    assert (asked["what"].value(), asked["amount"].value()) == ("amount", 2_000)
    build.refund(refund.order, 500)
    row.refresh_from_db()
    assert row.resolved_at is None
    assert "¥1,500 をあらためて返金してください" in page_of(auditor, row)
    build.refund(refund.order, 1_500)
    row.refresh_from_db()
    assert (row.resolved_by, row.resolution) == ("system", "あらためて返金しました。")
    assert "あらためて返金してください" not in page_of(auditor, row)


@pytest.mark.django_db
def test_a_customer_is_told_by_mail_that_a_refund_failed_later(sandbox: Sandbox) -> None:
    refund = failed_later(sandbox, 2_000)
    mail = refund.order.mails.get(kind=OutgoingMail.Kind.REFUND_FAILED)
    assert "¥2,000" in mail.subject and "完了しませんでした" in mail.text
    assert refund.order.mails.filter(kind=OutgoingMail.Kind.REFUND_FAILED).count() == 1


@pytest.mark.django_db
def test_a_refund_that_stripe_refuses_at_once_was_promised_to_nobody(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    refund_in_dashboard(order.payments.get(), 6_000)  # its event has not arrived
    refund = build.refund(order, 11_000)
    assert refund.status == Refund.Status.FAILED
    assert not order.mails.filter(kind=OutgoingMail.Kind.REFUND_FAILED).exists()


@pytest.mark.django_db
def test_a_parcel_that_has_lost_its_money_in_the_dashboard_is_named_until_the_rest_is_cancelled(
    sandbox: Sandbox, auditor: Client
) -> None:
    order = build.paid_order(sandbox, [build.line(price=1_000, quantity=3)])
    build.ship(order, {order.lines.get().pk: 1})
    refund_in_dashboard(order.payments.get())
    build.deliver(sandbox)
    row = Discrepancy.objects.get()
    assert (row.kind, row.object_id, row.category) == (Kind.MONEY_GONE, order.number, "to_do")
    assert "残りをキャンセルするか" in page_of(auditor, row)
    build.cancel(Order.objects.get(pk=order.pk), now=timezone.now())
    row.refresh_from_db()
    assert row.resolved_by == "system"
    assert "対応は不要です" in page_of(auditor, row)
    build.fetch(sandbox)
    assert_no_findings()
