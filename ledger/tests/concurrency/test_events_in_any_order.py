"""Ten workers handle hundreds of shuffled and repeated events.

Books, orders, stock and mails end as they do when the events come in order.
"""

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from kikaku.sandbox import Delivery, Sandbox
from ledger.closing import verification
from ledger.ingest import inbox
from ledger.ingest.events import PaymentNotYetKnown
from ledger.ingest.inbox import AlreadyClaimed
from ledger.models import BalanceTransaction, Discrepancy, JournalLine, Order, StockItem, StripeEvent
from ledger.stripe import client as stripe_client
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock
from ledger.testing.processes import WaitForAll, run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS = 8
WORKERS = 10


def create_events(sandbox: Sandbox, shelf: str) -> list[Delivery]:
    """Let customers pay and refund at Stripe; return the undelivered events in Stripe's order."""
    for number in range(CUSTOMERS):
        order = build.order(
            [
                build.line(f"{shelf}-LAMP", price=11_000),
                build.line(f"{shelf}-WATER", price=1_080, quantity=2, tax_class="reduced"),
            ],
            now=build.now_of(sandbox),
        )
        session = build.session_of(order, now=build.now_of(sandbox))
        if number % 8 == 7:
            stripe_client.expire_session(session)
            continue
        if number % 4 == 1:
            sandbox.pay(session, card="4000000000000002")  # declined
        sandbox.pay(session, card="3566002020360505" if number % 2 else "4242424242424242")
        if number % 4 == 2:  # a refund from Stripe's dashboard
            intent = stripe_client.retrieve_session(session)["payment_intent"]["id"]
            stripe_client.client().v1.refunds.create({"payment_intent": intent, "amount": 1_000 + number})
    return sandbox.pending_deliveries()


def deliver(delivery: Delivery, sandbox: Sandbox) -> None:
    """Handle a delivery as our endpoint does; a job retries what has to be retried."""
    now = build.now_of(sandbox)
    event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    with suppress(PaymentNotYetKnown, AlreadyClaimed):
        inbox.process(event.pk, now=now)


def state_of(shelf: str) -> dict[str, Any]:
    """Return all stored facts about the orders of a shelf, without generated ids."""
    orders = Order.objects.filter(lines__sku=f"{shelf}-LAMP").order_by("pk")
    return {
        "orders": [
            {
                "state": (order.status, order.cancel_reason, order.paid_at, order.total),
                "lines": list(order.lines.values_list("quantity", "reserved", "shipped", "cancelled")),
                "attempts": sorted(order.attempts.values_list("status", "last_error")),
                "payments": sorted(
                    order.payments.values_list("amount", "method", "brand", "last4", "captured_at")
                ),
                "refunds": sorted(order.refunds.values_list("amount", "status", "actor")),
                "mails": sorted(order.mails.values_list("kind", flat=True)),
                "books": sorted(
                    JournalLine.objects.filter(entry__order=order).values_list(
                        "entry__day", "entry__purpose", "account_id", "debit", "credit"
                    )
                ),
            }
            for order in orders
        ],
        "stock": sorted(
            (sku.removeprefix(shelf), on_hand, reserved)
            for sku, on_hand, reserved in StockItem.objects.filter(sku__startswith=shelf).values_list(
                "sku", "on_hand", "reserved"
            )
        ),
    }


def test_shuffled_and_repeated_events_end_as_events_in_order(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY))
    in_order = create_events(sandbox, "A")
    for delivery in in_order:
        deliver(delivery, sandbox)
        sandbox.mark_delivered(delivery.event_id, 200)
    build.fetch(sandbox)
    expected = state_of("A")
    assert {order["state"][0] for order in expected["orders"]} == {"paid", "pending"}

    events = create_events(sandbox, "B")
    assert len(events) == len(in_order)
    assert len(events) * WORKERS >= 200

    def worker(number: int, wait_for_all: WaitForAll) -> None:
        shuffled = random.Random(number).sample(events, len(events))
        wait_for_all()
        for delivery in shuffled:
            deliver(delivery, sandbox)
        if number < 2:
            build.fetch(sandbox)

    run_concurrently(WORKERS, worker)
    later = build.now_of(sandbox) + timedelta(minutes=1)
    while inbox.process_pending(now=later):
        pass
    assert set(StripeEvent.objects.values_list("status", flat=True)) == {"done"}
    assert StripeEvent.objects.count() == 2 * len(events)
    build.fetch(sandbox)
    assert state_of("B") == expected
    assert BalanceTransaction.objects.count() == 2 * (7 + 2)  # charges and refunds
    assert not Discrepancy.objects.exists()
    assert not list(verification.verify())
