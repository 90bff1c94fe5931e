"""Without a tax status nothing is sold, posted or closed; nothing is lost, and it goes on with one."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from kikaku.sandbox import Sandbox
from ledger.books.tax_rules import TaxStatusMissing
from ledger.closing import daily_close
from ledger.ingest import balance, inbox
from ledger.models import (
    BalanceTransaction,
    DailyClose,
    JournalEntry,
    KeptMoney,
    Refund,
    Shipment,
    StripeEvent,
    TaxStatus,
)
from ledger.sales import kept_money, refunds, shipping
from ledger.sales.orders import OrderRefused
from ledger.testing import build, company
from ledger.testing.admin import fields_of
from ledger.testing.closing import MONDAY, at, night_after, set_clock
from ledger.testing.dashboard import failed_later
from ledger.testing.konbini import order_with_voucher, pay

pytestmark = pytest.mark.django_db


def forget_status() -> None:
    TaxStatus.objects.all().delete()


def test_no_order_is_taken() -> None:
    forget_status()
    with pytest.raises(OrderRefused) as refused:
        build.order()
    assert refused.value.reason == "closed" and "受け付けておりません" in str(refused.value)


def test_a_payment_waits_and_the_job_and_the_command_say_what_to_do(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY))
    order = build.paid_order(sandbox, now=now)
    build.paid_order(sandbox, now=now)
    forget_status()
    with pytest.raises(TaxStatusMissing, match="税務の設定"):
        balance.fetch_new(now=now + timedelta(minutes=5))
    with pytest.raises(CommandError, match="税務の設定"):
        call_command("fetch_balance")
    assert not BalanceTransaction.objects.exists() and not JournalEntry.objects.exists()
    with pytest.raises(shipping.ShipRefused, match="税務の設定"):
        build.ship(order, now=now)
    assert not Shipment.objects.exists()

    company.enter()
    assert balance.fetch_new(now=now + timedelta(minutes=5)).posted == 2
    build.ship(order, now=now)
    assert JournalEntry.objects.count() == 3


def test_a_day_stays_open_and_the_command_ends_with_1(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    forget_status()
    now = set_clock(sandbox, night_after(MONDAY))
    with pytest.raises(daily_close.CloseFailed, match="税務の設定"):
        daily_close.close_day(MONDAY, now=now)
    with pytest.raises(SystemExit) as end:
        call_command("daily_close", "--date", str(MONDAY))
    assert end.value.code == 1 and "税務の設定" in capsys.readouterr().err
    company.enter()
    assert daily_close.close_day(MONDAY, now=now).differences == 0


def test_a_day_with_nothing_to_post_stays_open_too(sandbox: Sandbox) -> None:
    forget_status()
    with pytest.raises(daily_close.CloseFailed, match="税務の設定"):
        daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    assert not DailyClose.objects.exists()


def test_an_event_that_posts_stays_claimable_and_is_handled_once_the_status_is_entered(
    sandbox: Sandbox,
) -> None:
    now = set_clock(sandbox, at(MONDAY))
    order = order_with_voucher(sandbox, now=now)
    pay(sandbox, order, now)
    forget_status()
    refund = build.refund(order, now=now)  # which waits for a bank account, and is owed meanwhile
    assert refund.status == Refund.Status.REQUESTED, "Stripe has it, the books could not"
    assert refunds.send_refund(refund, now=now) is refunds.Sending.NOT_POSTED
    (delivery,) = (one for one in sandbox.pending_deliveries() if b"refund.created" in one.body)
    event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    with pytest.raises(TaxStatusMissing):
        inbox.process(event.pk, now=now)
    event.refresh_from_db()
    assert event.status == StripeEvent.Status.FAILED and "税務の設定" in event.last_error
    assert inbox.process_pending(now=now) == 0

    company.enter()
    inbox.end_pauses(now=now)
    assert inbox.process_pending(now=now) == 1
    refund.refresh_from_db()
    assert refund.status == Refund.Status.REQUIRES_ACTION
    assert JournalEntry.objects.filter(purpose="waiting").count() == 1
    assert refunds.send_requested(now=now + timedelta(minutes=5)).total() == 0


def test_staff_read_that_a_refund_waits_for_the_tax_status_and_not_for_stripe(
    sandbox: Sandbox, admin_client: Client
) -> None:
    order = order_with_voucher(sandbox)
    pay(sandbox, order, build.now_of(sandbox))
    forget_status()
    page = reverse("admin:ledger_order_cancel", args=[order.pk])
    answer = admin_client.post(page, fields_of(admin_client.get(page)), follow=True).content.decode()
    assert "税務の設定がまだ入力されていません" in answer and "Stripeが応答しません" not in answer
    assert order.refunds.get().status == Refund.Status.REQUESTED


def test_money_is_not_kept(sandbox: Sandbox) -> None:
    refund = failed_later(sandbox, 1_000)
    forget_status()
    with pytest.raises(kept_money.KeepRefused, match="税務の設定"):
        kept_money.keep(
            order=refund.order, amount=1_000, reason="受け取らない", nonce="n", actor="sato", now=at(MONDAY)
        )
    assert not KeptMoney.objects.exists()
