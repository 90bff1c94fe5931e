"""The history of an order: each act is recorded with who did it, in the transaction that carries it out."""

from datetime import datetime
from typing import Any

from kikaku.transactions import queued_writes, require_transaction
from ledger.models import Order, OrderEvent

# actors that are no users of the admin
CUSTOMER, STRIPE, SYSTEM = "customer", "stripe", "system"

Kind = OrderEvent.Kind


def record(order: Order | int, kind: Kind, *, actor: str, now: datetime, fact: str = "", **data: Any) -> None:
    """Record an act on an order (or on the order of this id), as part of the caller's transaction.

    `actor` is a user's name, `CUSTOMER`, `STRIPE` or `SYSTEM`. The same kind and `fact` are stored once; the
    fact of an act that may happen again contains its instant (see `repeatable`). `data` takes JSON values and
    instants, and no personal data.
    """
    require_transaction()
    store(build(order, kind, actor=actor, now=now, fact=fact, **data))


def build(
    order: Order | int, kind: Kind, *, actor: str, now: datetime, fact: str = "", **data: Any
) -> OrderEvent:
    """Return the event of an act, not yet stored; the arguments are those of `record`."""
    return OrderEvent(
        order_id=order if isinstance(order, int) else order.pk,
        kind=kind,
        fact=fact,
        actor=actor,
        at=now,
        data={name: _as_json(value) for name, value in data.items()},
    )


def store(event: OrderEvent) -> None:
    """Store an event once, as part of the caller's transaction."""
    require_transaction()
    with queued_writes():  # the act itself decides whether it happens: nothing is read back here
        OrderEvent.objects.bulk_create([event], ignore_conflicts=True)


def repeatable(fact: str, now: datetime) -> str:
    """Return the fact of an act that may happen to the same object again, such as sending a mail."""
    return f"{fact}@{now.isoformat()}"


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
