"""Packing slips: what goes into which parcel, one sheet for each order, to be printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from ledger.models import Order, OrderLine
from ledger.models.orders import OrderStatus


@dataclass(frozen=True)
class Slip:
    """The sheet of an order: its lines with pieces that are still to be shipped."""

    order: Order
    lines: Sequence[OrderLine]

    @property
    def pieces(self) -> int:
        """All pieces of the parcel, to be counted."""
        return sum(line.shippable for line in self.lines)


def slips(orders: QuerySet[Order]) -> tuple[list[Slip], int]:
    """Give the slips of the orders that can be shipped, first paid first, and how many orders were left out.

    Two queries, however many orders.
    """
    lines = OrderLine.objects.order_by("position")
    found = []
    left_out = 0
    chosen = orders.order_by("paid_at", "id").prefetch_related(None)  # the list brings its own
    for order in chosen.prefetch_related(Prefetch("lines", queryset=lines)):
        rest = [line for line in order.lines.all() if line.shippable]
        if rest and order.status in (OrderStatus.PAID, OrderStatus.PARTIALLY_SHIPPED):
            found.append(Slip(order, rest))
        else:
            left_out += 1
    return found, left_out
