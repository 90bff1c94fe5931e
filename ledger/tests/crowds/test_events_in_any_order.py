"""Ten workers, hundreds of shuffled and repeated events: books, orders, stock and mails are as when told in order."""

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
from ledger.testing.processes import Together, crowd

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS = 8
WORKERS = 10


def customers(sandbox: Sandbox, shelf: str) -> list[Delivery]:
    """Let customers do what customers do, and give the events of it in Stripe's order; our side heard nothing yet."""
    for number in range(CUSTOMERS):
        order = build.order(
            [
                build.line(f"{shelf}-LAMP", price=11_000),
                build.line(f"{shelf}-WATER", price=1_080, quantity=2, rate=8),
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
        if number % 4 == 2:  # somebody refunds in Stripe's dashboard
            intent = stripe_client.retrieve_session(session)["payment_intent"]["id"]
            stripe_client.client().v1.refunds.create({"payment_intent": intent, "amount": 1_000 + number})
    return sandbox.pending_deliveries()


def hear(delivery: Delivery, sandbox: Sandbox) -> None:
    """Take a delivery as our endpoint does; what must come again comes again by the job."""
    now = build.now_of(sandbox)
    event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    with suppress(PaymentNotYetKnown, AlreadyClaimed):
        inbox.process(event.pk, now=now)


def told(shelf: str) -> dict[str, Any]:
    """Give everything that our side now says about a shelf's customers, without the ids that chance made."""
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


def test_ten_workers_with_shuffled_and_repeated_events_tell_the_same_story(sandbox: Sandbox) -> None:
    set_clock(sandbox, at(MONDAY))
    in_order = customers(sandbox, "A")
    for delivery in in_order:
        hear(delivery, sandbox)
        sandbox.mark_delivered(delivery.event_id, 200)
    build.fetch(sandbox)
    story = told("A")
    assert {order["state"][0] for order in story["orders"]} == {"paid", "pending"}

    events = customers(sandbox, "B")
    assert len(events) == len(in_order)
    assert len(events) * WORKERS >= 200

    def worker(number: int, together: Together) -> None:
        mine = random.Random(number).sample(events, len(events))
        together()
        for delivery in mine:
            hear(delivery, sandbox)
        if number < 2:
            build.fetch(sandbox)

    crowd(WORKERS, worker)
    later = build.now_of(sandbox) + timedelta(minutes=1)
    while inbox.process_pending(now=later):
        pass
    assert set(StripeEvent.objects.values_list("status", flat=True)) == {"done"}
    assert StripeEvent.objects.count() == 2 * len(events)
    build.fetch(sandbox)
    assert told("B") == story
    assert BalanceTransaction.objects.count() == 2 * (7 + 2)  # charges and refunds
    assert not Discrepancy.objects.exists()
    assert not list(verification.verify())
