"""Helpers for konbini orders: place, pay, cancel, and deliver their events in any order."""

import random
from datetime import datetime, timedelta

from kikaku.sandbox import Delivery, Sandbox
from ledger.closing import checks
from ledger.ingest import inbox
from ledger.models import CheckoutAttempt, Order, StripeEvent
from ledger.sales import cancellation
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock

# of a voucher issued on Monday, valid for three days
DEADLINE = at(MONDAY + timedelta(days=3), 23, 59) + timedelta(seconds=59)


def attempt_of(order: Order) -> CheckoutAttempt:
    return order.attempts.latest("pk")


def order_with_voucher(
    sandbox: Sandbox, *, now: datetime | None = None, placed: Order | None = None
) -> Order:
    """Return an order of Monday at noon (or `placed`) whose voucher was issued and stored."""
    now = set_clock(sandbox, now or at(MONDAY))
    order = placed or build.order(now=now)
    sandbox.choose_konbini(build.session_of(order, now=now))
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


def pay(sandbox: Sandbox, order: Order, now: datetime, *, deliver: bool = True) -> None:
    """Pay the order's voucher at `now`; deliver the events if `deliver`."""
    set_clock(sandbox, now)
    sandbox.pay_voucher(str(attempt_of(order).session_id))
    if deliver:
        build.deliver(sandbox)
    order.refresh_from_db()


def cancel(order: Order, now: datetime) -> None:
    cancellation.cancel(order=order, reason=Order.CancelReason.STAFF, actor="staff", now=now)


def assert_no_findings() -> None:
    assert [str(finding) for finding in checks.check_everything()] == []


def shuffled(deliveries: list[Delivery], seed: int) -> list[Delivery]:
    """Return the deliveries in a random order, some of them twice."""
    rng = random.Random(seed)
    again = rng.sample(deliveries, rng.randrange(len(deliveries)))
    return rng.sample([*deliveries, *again], len(deliveries) + len(again))


def handle(delivery: Delivery, now: datetime) -> None:
    """Receive and handle an event, even if it was handled before."""
    event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    StripeEvent.objects.filter(pk=event.pk).update(status=StripeEvent.Status.PENDING)
    inbox.process(event.pk, now=now)


def lose_events(sandbox: Sandbox) -> None:
    for delivery in sandbox.pending_deliveries():
        sandbox.mark_delivered(delivery.event_id, 200)
