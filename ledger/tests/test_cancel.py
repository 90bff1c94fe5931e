"""Cancelling an order: its page is closed, its stock released and its money refunded, once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from kikaku.sandbox import Sandbox, SessionNotOpen
from ledger.books.accounts import PREPAYMENTS, REFUNDS_PAYABLE
from ledger.books.trial_balance import net_balance
from ledger.models import Order, OrderEvent, OutgoingMail, Refund, StockItem
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, refunds
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import set_clock
from ledger.testing.dashboard import order_paid_twice
from ledger.testing.konbini import assert_no_findings
from ledger.testing.threads import run_in_threads


def cancel(order: Order) -> Order:
    return cancellation.cancel(
        order=order, reason=Order.CancelReason.STAFF, actor="staff", now=timezone.now()
    )


@pytest.mark.django_db
def test_a_cancelled_unpaid_order_cannot_be_paid_any_more(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    cancel(order)
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "staff")
    assert StockItem.objects.get().reserved == 0
    with pytest.raises(SessionNotOpen):
        sandbox.pay(session)
    mail = order.mails.get()
    assert mail.kind == OutgoingMail.Kind.CANCELLED
    assert not Refund.objects.exists()
    build.deliver(sandbox)  # checkout.session.expired
    assert StockItem.objects.get().reserved == 0


@pytest.mark.django_db
def test_the_mail_does_not_claim_that_a_refunded_customer_was_never_charged(
    sandbox: Sandbox,
) -> None:
    order = build.paid_order(sandbox, language="en")
    build.refund(order, order.total)
    cancel(order)
    mail = order.mails.get(kind=OutgoingMail.Kind.CANCELLED)
    assert "not charged" not in mail.text + mail.html
    unpaid = build.order(language="en")
    cancel(unpaid)
    assert "not charged" in unpaid.mails.get().text


@pytest.mark.django_db
def test_cancelling_a_paid_order_refunds_all_of_its_money(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2, on_hand=2)])
    cancel(order)
    assert (order.status, order.cancel_reason) == (OrderStatus.CANCELLED, "staff")
    refund = order.refunds.get()
    assert (refund.amount, refund.status) == (order.total, Refund.Status.SUCCEEDED)
    item = StockItem.objects.get()
    assert (item.on_hand, item.reserved) == (2, 0)
    kinds = set(order.mails.values_list("kind", flat=True))
    assert kinds == {"order_confirmation", "cancelled", "refunded"}
    assert "¥22,500" in order.mails.get(kind="cancelled").text
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("paid", [False, True])
def test_the_reason_of_a_cancellation_is_written_once(sandbox: Sandbox, paid: bool) -> None:
    order = build.paid_order(sandbox) if paid else build.order()
    reason = Order.CancelReason.CUSTOMER
    with CaptureQueriesContext(connection) as queries:
        cancellation.cancel(order=order, reason=reason, actor="customer", now=timezone.now())
    updates = [
        query["sql"]
        for query in queries.captured_queries
        if query["sql"].startswith('UPDATE "ledger_order" SET') and '"cancel_reason" = ' in query["sql"]
    ]
    assert len(updates) == 1
    assert "'customer'" in updates[0]
    assert order.cancel_reason == reason
    assert order.events.get(kind=OrderEvent.Kind.CANCELLED).data == {"reason": "customer"}


@pytest.mark.django_db
def test_only_the_rest_is_refunded_when_a_part_was_refunded_before(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.refund(order, 1_500)
    cancel(order)
    assert sorted(order.refunds.values_list("amount", flat=True)) == [1_500, 10_000]
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0


@pytest.mark.django_db
def test_an_order_that_was_refunded_before_is_cancelled_without_a_refund(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.refund(order, order.total)
    assert order.status == OrderStatus.CANCELLED  # it ended by itself; cancelling it changes nothing
    cancel(order)
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.count() == 1
    assert StockItem.objects.get().reserved == 0


@pytest.mark.django_db
def test_cancelling_twice_refunds_and_releases_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(on_hand=1)])
    cancel(order)
    cancel(order)
    assert order.refunds.count() == 1
    assert StockItem.objects.get().available == 1
    assert order.mails.filter(kind="cancelled").count() == 1


@pytest.mark.django_db(transaction=True)
def test_cancelling_concurrently_refunds_and_releases_once(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(on_hand=1)])
    results = run_in_threads(*[lambda: cancel(Order.objects.get(pk=order.pk))] * 3)
    assert all(isinstance(result, Order) for result in results), results
    assert order.refunds.get().amount == order.total
    assert StockItem.objects.get().available == 1


@pytest.mark.django_db
def test_a_payment_made_before_the_cancellation_is_refunded(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))  # the events have not arrived
    cancel(order)
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.get().amount == order.total
    build.deliver(sandbox)
    assert order.payments.count() == 1
    assert order.refunds.count() == 1


@pytest.mark.django_db
def test_an_unpaid_order_is_not_cancelled_while_stripe_does_not_answer(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.order()
    build.session_of(order)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(checkout.PaymentUnavailable):
        cancel(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert StockItem.objects.get().reserved == 1


@pytest.mark.django_db
def test_a_paid_order_is_cancelled_while_stripe_does_not_answer_and_the_job_sends_the_refund(
    sandbox: Sandbox, settings: Settings
) -> None:
    order = build.paid_order(sandbox)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    cancel(order)
    assert order.refunds.get().status == Refund.Status.REQUESTED
    settings.STRIPE_API_BASE = ""
    assert refunds.send_requested(now=timezone.now() + timedelta(minutes=5)) == {refunds.Sending.ACCEPTED: 1}
    assert order.refunds.get().status == Refund.Status.SUCCEEDED


@pytest.mark.django_db
def test_a_partially_shipped_order_cannot_be_cancelled(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox, [build.line(quantity=2)])
    build.ship(order, {order.lines.get().pk: 1})
    with pytest.raises(cancellation.CancelRefused):
        cancel(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.PARTIALLY_SHIPPED
    assert not Refund.objects.exists()


@pytest.mark.django_db
def test_a_payment_of_another_amount_is_refunded_when_the_order_is_cancelled(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    Order.objects.filter(pk=order.pk).update(total=12_500, shipping_fee=1_500)
    build.deliver(sandbox)
    cancel(order)
    assert order.refunds.get().amount == 11_500
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0


@pytest.mark.django_db
def test_only_the_rest_of_a_payment_of_another_amount_is_refunded(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    Order.objects.filter(pk=order.pk).update(total=order.total + 100, shipping_fee=600)
    sandbox.pay(session)
    build.deliver(sandbox)
    stripe_client.client().v1.refunds.create(  # in Stripe's dashboard
        {"payment_intent": order.payments.get().payment_intent, "amount": 500}
    )
    build.deliver(sandbox)
    cancel(order)
    refunds.send_requested(now=timezone.now() + timedelta(minutes=3))
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert {(refund.amount, refund.status) for refund in order.refunds.all()} == {
        (500, Refund.Status.SUCCEEDED),
        (11_000, Refund.Status.SUCCEEDED),
    }
    assert net_balance(PREPAYMENTS) == net_balance(REFUNDS_PAYABLE) == 0


@pytest.mark.django_db
def test_an_order_whose_page_stripe_does_not_know_is_not_cancelled(sandbox: Sandbox) -> None:
    order = build.order()
    build.session_of(order)
    order.attempts.update(session_id="cs_test_of_another_account")
    with pytest.raises(cancellation.CancelRefused, match="resource_missing"):
        cancel(order)
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


@pytest.mark.django_db
def test_an_order_whose_shipping_fee_was_refunded_can_be_cancelled(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    build.refund(order, include_shipping=True)
    assert cancel(order).status == OrderStatus.CANCELLED
    assert sum(refund.amount for refund in order.refunds.all()) == order.total


@pytest.mark.django_db
def test_an_order_that_was_paid_twice_is_cancelled_with_a_refund_of_each_payment(sandbox: Sandbox) -> None:
    order = order_paid_twice(sandbox, second_card="4000000000005126")  # its refund fails at the bank
    refunds.send_requested(now=build.now_of(sandbox) + timedelta(minutes=5))
    later = set_clock(sandbox, build.now_of(sandbox) + timedelta(days=10))
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert order.refunds.get().status == Refund.Status.FAILED
    cancellation.cancel(order=order, reason=Order.CancelReason.STAFF, actor="staff", now=later)
    assert order.status == OrderStatus.CANCELLED
    assert sorted(order.refunds.not_failed().values_list("amount", flat=True)) == [11_500, 11_500]
    assert "¥23,000" in order.mails.get(kind=OutgoingMail.Kind.CANCELLED).text
    build.deliver(sandbox)
    build.fetch(sandbox)
    assert_no_findings()
