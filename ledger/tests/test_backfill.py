"""Payments and refunds without a webhook: they are fetched from Stripe before their money is posted."""

import json

import pytest

from kikaku.sandbox import Sandbox
from ledger.books import accounts
from ledger.books.trial_balance import net_balance
from ledger.closing import checks, daily_close
from ledger.ingest import balance, inbox
from ledger.models import BalanceTransaction, Discrepancy, JournalEntry, Order, Payment
from ledger.models.orders import OrderStatus
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, night_after, set_clock

pytestmark = pytest.mark.django_db


def pay_without_webhooks(sandbox: Sandbox) -> Order:
    """Let a customer pay; no event is delivered."""
    now = build.now_of(sandbox)
    order = build.order(now=now)
    sandbox.pay(build.session_of(order, now=now))
    return order


def test_a_payment_is_posted_to_its_order_before_its_event_arrives(
    sandbox: Sandbox,
) -> None:
    set_clock(sandbox, night_after(MONDAY))
    order = pay_without_webhooks(sandbox)
    assert daily_close.close_day(MONDAY, now=night_after(MONDAY)).differences == 0
    assert net_balance(accounts.PREPAYMENTS, order=order) == -order.total

    set_clock(sandbox, at(TUESDAY, 9))
    build.deliver(sandbox)
    order.refresh_from_db()
    build.ship(order, now=at(TUESDAY, 10))
    assert daily_close.close_day(TUESDAY, now=set_clock(sandbox, night_after(TUESDAY))).differences == 0
    assert list(checks.check_everything()) == []
    assert order.mails.filter(kind="order_confirmation").count() == 1


def test_a_day_whose_webhooks_never_came_closes_without_differences(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY, 10))
    order = pay_without_webhooks(sandbox)
    assert daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).differences == 0
    order.refresh_from_db()
    assert (order.status, order.paid_at) == (OrderStatus.PAID, at(MONDAY, 10))


def test_a_payment_known_from_its_session_only_is_found_by_its_charge(sandbox: Sandbox) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = pay_without_webhooks(sandbox)
    for delivery in sandbox.pending_deliveries():
        if json.loads(delivery.body)["type"] == "checkout.session.completed":
            event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
            inbox.process(event.pk, now=now)
    assert Payment.objects.get().charge is None
    build.fetch(sandbox)
    assert JournalEntry.objects.get().order == order
    assert Payment.objects.get().charge == BalanceTransaction.objects.get().source
    assert not Discrepancy.objects.exists()


def test_a_refund_from_the_dashboard_is_stored_before_it_is_posted(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox)
    stripe_client.client().v1.refunds.create(
        {"payment_intent": order.payments.get().payment_intent, "amount": 500}
    )
    assert daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY))).differences == 0
    assert order.refunds.get().amount == 500
    assert net_balance(accounts.PREPAYMENTS, order=order) == 500 - order.total
    build.deliver(sandbox)
    assert order.refunds.count() == 1
    assert list(checks.check_everything()) == []


def test_a_refund_that_failed_without_a_webhook_is_detected_from_its_balance_transaction(
    sandbox: Sandbox,
) -> None:
    now = set_clock(sandbox, at(MONDAY, 10))
    order = build.paid_order(sandbox, card="4000000000005126", now=now)
    refund = build.refund(order, 3_000, now=now)
    build.deliver(sandbox)
    assert refund.status == "succeeded"
    result = daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)))
    refund.refresh_from_db()
    assert refund.status == "failed"
    assert {row["kind"] for row in result.report["discrepancies"]} <= {"refund_failed"}
    assert net_balance(accounts.REFUNDS_PAYABLE, order=order) == -3_000
    assert list(checks.check_everything()) == []


def test_a_dry_run_fetches_the_same_and_stores_nothing(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY, 10))
    pay_without_webhooks(sandbox)
    result = daily_close.close_day(MONDAY, now=set_clock(sandbox, night_after(MONDAY)), dry_run=True)
    assert (result.state, result.differences) == ("dry run", 0)
    assert not Payment.objects.exists()
    assert not BalanceTransaction.objects.exists()


def test_the_job_asks_stripe_after_the_waiting_time(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY, 10))
    order = pay_without_webhooks(sandbox)
    assert balance.fetch_new(now=at(MONDAY, 10, 1)).waiting
    assert not Payment.objects.exists()
    assert balance.fetch_new(now=at(MONDAY, 10, 5)).posted == 1
    assert JournalEntry.objects.get().order == order
