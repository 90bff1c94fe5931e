"""What a person saw of an order before an act: what was decided on an older state is not carried out."""

import hashlib
import json
from typing import Any

from django.db.models import Subquery
from django.utils.translation import gettext as _

from ledger.models import KeptMoney, Order


class OrderChanged(Exception):
    """The order is not as it was when the page was opened; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(_("The order has changed since this page was opened. Please look at it once more."))


def digest(facts: Any) -> str:
    """Return a short digest of JSON values, for a hidden field of a form."""
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]


def state_of(order: Order) -> str:
    """Return a digest of what decides what shipping or cancelling an order does. Four queries."""
    lines = order.lines.order_by("pk")
    # in the query of the payments: without one, there is nothing to keep
    kept = Subquery(KeptMoney.objects.filter(order=order).order_by("-pk").values("pk")[:1])
    return digest(
        [
            order.status,
            list(lines.values_list("pk", "reserved", "shipped", "cancelled", "returned")),
            list(order.payments.order_by("pk").values_list("pk", "amount", kept)),
            list(order.refunds.order_by("pk").values_list("pk", "amount", "withdrawn")),
            order.attempts.waiting().exists(),
        ]
    )


def require_unchanged(order: Order, seen: str) -> None:
    """Raise `OrderChanged` unless the order still is in the state `seen`; "" was decided without a page."""
    if seen and state_of(order) != seen:
        raise OrderChanged
