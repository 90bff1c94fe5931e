"""Orders that wait for a konbini voucher, and what may happen to them."""

import random
from datetime import datetime, timedelta

from kikaku.sandbox import Delivery, Sandbox
from ledger.closing import checks
from ledger.ingest import inbox
from ledger.models import CheckoutAttempt, Order, StripeEvent
from ledger.sales import cancellation
from ledger.testing import build
from ledger.testing.closing import MONDAY, at, set_clock

DEADLINE = at(MONDAY + timedelta(days=3), 23, 59) + timedelta(
    seconds=59
)  # of a voucher made on Monday: three days


def attempt_of(order: Order) -> CheckoutAttempt:
    return order.attempts.latest("pk")


def with_voucher(sandbox: Sandbox, *, now: datetime | None = None, placed: Order | None = None) -> Order:
    """Let a customer order on Monday at noon, choose the convenience store, and our events be handled."""
    now = set_clock(sandbox, now or at(MONDAY))
    order = placed or build.order(now=now)
    sandbox.choose_konbini(build.session_of(order, now=now))
    build.deliver(sandbox)
    order.refresh_from_db()
    return order


def pay(sandbox: Sandbox, order: Order, now: datetime, *, tell: bool = True) -> None:
    """Pay the order's voucher at a counter; `tell` delivers the events."""
    set_clock(sandbox, now)
    sandbox.pay_voucher(str(attempt_of(order).session_id))
    if tell:
        build.deliver(sandbox)
    order.refresh_from_db()


def cancel(order: Order, now: datetime) -> None:
    cancellation.cancel(order=order, reason=Order.CancelReason.STAFF, actor="staff", now=now)


def assert_sound() -> None:
    assert [str(finding) for finding in checks.check_everything()] == []


def shuffled(told: list[Delivery], seed: int) -> list[Delivery]:
    """Give the deliveries in another order, some of them twice."""
    rng = random.Random(seed)
    again = rng.sample(told, rng.randrange(len(told)))
    return rng.sample([*told, *again], len(told) + len(again))


def handle(delivery: Delivery, now: datetime) -> None:
    """Handle an event, and a second time as if it had never been done."""
    event = inbox.receive(delivery.body, delivery.headers["Stripe-Signature"], now=now)
    StripeEvent.objects.filter(pk=event.pk).update(status=StripeEvent.Status.PENDING)
    inbox.process(event.pk, now=now)


def lose_events(sandbox: Sandbox) -> None:
    for delivery in sandbox.pending_deliveries():
        sandbox.mark_delivered(delivery.event_id, 200)
