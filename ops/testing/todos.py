"""Facts that become to-dos, written as rows; no Stripe is asked."""

from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Any

from kikaku.days import business_day
from ledger.books.discrepancies import note_discrepancy
from ledger.models import Discrepancy, Order, OrderEvent, Payment, Refund, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ops.models import Todo
from ops.todos import upkeep

NUMBERS: Iterator[int] = count(1)


def paid(now: datetime, *, total: int = 0, method: str = "card") -> Order:
    """Return an order that was placed and paid at `now`; without a total of ¥11,500."""
    lines = [build.line(price=total - 500)] if total else None
    order = build.order(lines, now=now, email=f"a{next(NUMBERS)}@example.jp")
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.PAID, paid_at=now)
    pay(order, now, method=method)
    order.refresh_from_db()
    return order


def pay(order: Order, now: datetime, *, method: str = "card") -> Payment:
    """Return a payment of an order's total."""
    return Payment.objects.create(
        order=order,
        payment_intent=f"pi_{next(NUMBERS)}",
        amount=order.total,
        method=method,
        captured_at=now,
    )


def refund(payment: Payment, now: datetime, status: str = Refund.Status.SUCCEEDED) -> Refund:
    """Return a refund of ¥100."""
    return Refund.objects.create(
        order=payment.order,
        payment=payment,
        nonce=f"n{next(NUMBERS)}",
        amount=100,
        status=status,
        requested_at=now,
    )


def refused(order: Order, now: datetime) -> OrderEvent:
    """Return a refused payment attempt of an order."""
    kind = OrderEvent.Kind.PAYMENT_FAILED
    return OrderEvent.objects.create(order=order, kind=kind, fact=f"event:{next(NUMBERS)}", at=now)


def event(now: datetime, *, type: str = "charge.succeeded", **fields: Any) -> StripeEvent:
    """Return an event of Stripe; without a status a failed one."""
    return StripeEvent.objects.create(
        id=f"evt_{next(NUMBERS)}",
        type=type,
        created=now,
        received_at=now,
        **{"status": StripeEvent.Status.FAILED, "attempts": 3, "payload": {}} | fields,
    )


def dispute(now: datetime, name: str = "dp_1", *, type: str = "charge.dispute.created") -> StripeEvent:
    """Return an event of a dispute of ¥5,000."""
    content = {"id": name, "object": "dispute", "amount": 5_000, "currency": "jpy", "charge": "ch_1"}
    status = StripeEvent.Status.UNHANDLED
    return event(now, type=type, status=status, attempts=1, payload={"data": {"object": content}})


def difference(now: datetime, kind: str = Discrepancy.Kind.AMOUNT, amount: int = 5) -> Discrepancy:
    """Return a discrepancy of the day of `now`."""
    return note_discrepancy(kind, f"txn_{next(NUMBERS)}", day=business_day(now), now=now, amount=amount)


def made(*, now: datetime) -> dict[str, Todo]:
    """Run the job; return the open to-dos, "kind:subject" → row."""
    upkeep.refresh(now=now)
    return {f"{row.kind}:{row.subject}": row for row in Todo.objects.open()}
