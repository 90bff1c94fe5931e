"""The effects of Stripe's payment events on orders."""

import itertools
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from kikaku.sandbox import Sandbox
from ledger.books.accounts import PREPAYMENTS
from ledger.books.trial_balance import net_balance
from ledger.ingest import inbox
from ledger.models import (
    CheckoutAttempt,
    Discrepancy,
    Order,
    OutgoingMail,
    Payment,
    Refund,
    StripeEvent,
)
from ledger.models.orders import OrderStatus
from ledger.sales import cancellation, checkout, orders, refunds
from ledger.testing import build

pytestmark = pytest.mark.django_db


def test_a_paid_session_marks_the_order_paid_and_queues_one_confirmation(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)

    assert order.status == OrderStatus.PAID
    assert order.paid_at is not None
    payment = order.payments.get()
    assert payment.amount == order.total == 11_500
    assert (payment.method, payment.brand, payment.last4) == ("card", "visa", "4242")
    assert payment.charge
    assert order.attempts.get().status == CheckoutAttempt.Status.COMPLETE
    assert [mail.kind for mail in order.mails.all()] == [OutgoingMail.Kind.ORDER_CONFIRMATION]
    assert not Discrepancy.objects.exists()


def test_a_completed_unpaid_session_does_not_mark_the_order_paid(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    sandbox.pay(session)
    for delivery in sandbox.pending_deliveries():
        payload = json.loads(delivery.body)
        if payload["type"] == "checkout.session.completed":
            payload["data"]["object"]["payment_status"] = "unpaid"
            _handle(payload)

    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert not Payment.objects.exists()
    assert order.attempts.get().status == CheckoutAttempt.Status.WAITING
    # its stock is not released either: the customer may still pay
    assert checkout.expire_due(now=timezone.now() + timedelta(hours=2)) == 0
    assert order.lines.get().reserved == 1


def test_events_in_any_order_and_twice_end_in_the_same_state(sandbox: Sandbox) -> None:
    final_states = set()
    orders_of_events = list(itertools.permutations(range(4)))
    for permutation in orders_of_events[::3]:
        order = build.order()
        sandbox.pay(build.session_of(order))
        bodies = [json.loads(delivery.body) for delivery in sandbox.pending_deliveries()]
        for delivery in sandbox.pending_deliveries():
            sandbox.mark_delivered(delivery.event_id, 200)
        ours = [body for body in bodies if body["type"] in PAID_EVENTS]
        assert len(ours) >= 3
        shuffled = [ours[position] for position in permutation if position < len(ours)]
        for body in [*shuffled, *reversed(shuffled)]:
            _handle(body | {"id": f"evt_{secrets.token_hex(8)}"})
        order.refresh_from_db()
        payment = order.payments.get()
        final_states.add(
            (
                order.status,
                payment.amount,
                payment.brand,
                payment.last4,
                bool(payment.charge),
                order.mails.count(),
                order.attempts.get().status,
                Discrepancy.objects.count(),
            )
        )
    assert final_states == {("paid", 11_500, "visa", "4242", True, 1, "complete", 0)}


def test_the_message_of_a_declined_card_is_stored_until_another_card_succeeds(
    sandbox: Sandbox,
) -> None:
    order = build.order()
    session = build.session_of(order)
    sandbox.pay(session, card="4000000000000002")
    build.deliver(sandbox)
    attempt = order.attempts.get()
    assert "declined" in attempt.last_error
    assert attempt.status == CheckoutAttempt.Status.OPEN
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING

    sandbox.pay(session)
    build.deliver(sandbox)
    order.refresh_from_db()
    attempt.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert attempt.last_error == ""


def test_a_failed_event_after_the_success_changes_nothing(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    sandbox.pay(session, card="4000000000000002")
    failed = [
        json.loads(delivery.body)
        for delivery in sandbox.pending_deliveries()
        if json.loads(delivery.body)["type"] == "payment_intent.payment_failed"
    ]
    for delivery in sandbox.pending_deliveries():
        sandbox.mark_delivered(delivery.event_id, 200)
    sandbox.pay(session)
    build.deliver(sandbox)
    _handle(failed[0])

    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert order.attempts.get().last_error == ""


def test_a_payment_of_less_is_recorded_but_does_not_pay_the_order(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    # as if the total had been changed after the page was opened
    Order.objects.filter(pk=order.pk).update(total=12_500, shipping_fee=1_500)
    build.deliver(sandbox)

    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert order.payments.get().amount == 11_500
    found = Discrepancy.objects.get()
    assert (found.kind, found.amount) == (Discrepancy.Kind.PAID_OTHER_AMOUNT, -1_000)
    assert not OutgoingMail.objects.exists()


def test_a_payment_in_another_currency_pays_nothing(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        payload = json.loads(delivery.body)
        if payload["type"] == "payment_intent.succeeded":
            payload["data"]["object"]["currency"] = "usd"
            _handle(payload)

    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING
    assert not Payment.objects.exists()
    found = Discrepancy.objects.get()
    assert (found.kind, found.amount) == (Discrepancy.Kind.FOREIGN_CURRENCY, 0)
    assert order.number in found.detail and "115.00 USD" in found.detail


def test_a_payment_of_a_cancelled_order_is_recorded_noted_and_refunded(sandbox: Sandbox) -> None:
    order = build.order()
    session = build.session_of(order)
    # cancelled here while Stripe's page was still open
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.CANCELLED, cancelled_at=timezone.now())
    sandbox.pay(session)
    build.deliver(sandbox)

    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED  # not reopened
    assert order.payments.get().amount == 11_500
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.PAID_AFTER_CANCELLATION
    refund = order.refunds.get()
    assert (refund.status, refund.amount) == (Refund.Status.REQUESTED, 11_500)

    later = timezone.now() + timedelta(minutes=5)
    assert refunds.send_requested(now=later) == {refunds.Sending.ACCEPTED: 1}
    build.deliver(sandbox)
    refund.refresh_from_db()
    assert refund.status == Refund.Status.SUCCEEDED
    assert [mail.kind for mail in order.mails.all()] == [OutgoingMail.Kind.REFUNDED]
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == 0
    # a second run sends nothing
    assert refunds.send_requested(now=later) == {}
    assert order.refunds.count() == 1


def test_a_second_payment_of_an_order_is_refunded_and_the_first_stays(sandbox: Sandbox) -> None:
    order = build.order()
    first = build.session_of(order)
    # a second open page: the product code would not create one
    attempt = order.attempts.get()
    CheckoutAttempt.objects.filter(pk=attempt.pk).update(status=CheckoutAttempt.Status.EXPIRED)
    second = build.session_of(order)
    sandbox.pay(first)
    sandbox.pay(second)
    build.deliver(sandbox)

    order.refresh_from_db()
    assert order.status == OrderStatus.PAID
    assert order.payments.count() == 2
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.PAID_TWICE
    refunds.send_requested(now=timezone.now() + timedelta(minutes=5))
    build.deliver(sandbox)
    refund = order.refunds.get()
    assert refund.status == Refund.Status.SUCCEEDED
    assert refund.amount == 11_500
    build.fetch(sandbox)
    assert net_balance(PREPAYMENTS, order=order) == -11_500
    build.ship(order)
    assert net_balance(PREPAYMENTS, order=order) == 0


def test_a_succeeded_event_does_not_reopen_a_cancelled_order(sandbox: Sandbox) -> None:
    order = build.paid_order(sandbox)
    events = list(StripeEvent.objects.filter(type__in=PAID_EVENTS))
    cancellation.cancel(order=order, reason="staff", actor="staff", now=timezone.now())
    for event in events:
        _handle(event.payload | {"id": f"evt_{secrets.token_hex(8)}"})
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED
    assert order.refunds.count() == 1


def test_a_payment_of_none_of_our_orders_is_only_noted(sandbox: Sandbox) -> None:
    order = build.order()
    sandbox.pay(build.session_of(order))
    for delivery in sandbox.pending_deliveries():
        payload = json.loads(delivery.body)
        if payload["type"] in ("payment_intent.succeeded", "payment_intent.payment_failed"):
            payload["data"]["object"]["metadata"] = {"shop": "another"}
            _handle(payload)
    assert not Payment.objects.exists()
    assert Discrepancy.objects.get().kind == Discrepancy.Kind.MISSING_IN_BOOKS
    order.refresh_from_db()
    assert order.status == OrderStatus.PENDING


def test_an_event_without_a_handler_is_stored_and_done(sandbox: Sandbox) -> None:
    build.paid_order(sandbox)
    assert not StripeEvent.objects.exclude(status=StripeEvent.Status.DONE).exists()
    assert StripeEvent.objects.filter(type="payment_intent.created").exists()


def test_an_order_is_paid_at_the_time_of_its_charge_even_if_its_session_is_reported_first(
    sandbox: Sandbox,
) -> None:
    before_midnight = datetime(2026, 11, 16, 14, 59, 59, tzinfo=UTC)  # in Japan
    sandbox.clock = before_midnight.timestamp
    order = build.order(now=before_midnight)
    sandbox.pay(build.session_of(order, now=before_midnight))
    payloads = [json.loads(delivery.body) for delivery in sandbox.pending_deliveries()]
    payloads.sort(key=lambda event: event["type"] != "checkout.session.completed")
    for event in payloads:
        _handle(event)
    order.refresh_from_db()
    assert order.paid_at == order.payments.get().captured_at == before_midnight


def test_an_order_only_moves_forward() -> None:
    order = build.order()
    assert not orders.advance(order, OrderStatus.SHIPPED)
    assert orders.advance(order, OrderStatus.CANCELLED)
    assert not orders.advance(order, OrderStatus.PAID)
    assert not orders.advance(order, OrderStatus.PENDING)
    order.refresh_from_db()
    assert order.status == OrderStatus.CANCELLED


PAID_EVENTS = ("checkout.session.completed", "payment_intent.succeeded", "charge.succeeded", "charge.updated")


def _handle(payload: dict[str, Any]) -> None:
    """Store an event that the test has changed, and process it."""
    now = timezone.now()
    event, _created = StripeEvent.objects.get_or_create(
        pk=payload["id"],
        defaults={"type": payload["type"], "created": now, "payload": payload, "received_at": now},
    )
    inbox.process(event.pk, now=now)
