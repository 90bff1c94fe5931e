"""Packing slips: what goes into each parcel, one printed sheet for each order."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch, QuerySet

from ledger.models import Order, OrderLine
from ledger.models.orders import SHIPPABLE_STATUSES


@dataclass(frozen=True)
class PackingSlip:
    """Lines of an order with pieces that are still to be shipped."""

    order: Order
    lines: Sequence[OrderLine]

    @property
    def pieces(self) -> int:
        """Return the number of pieces in the parcel."""
        return sum(line.shippable for line in self.lines)


def packing_slips(orders: QuerySet[Order]) -> tuple[list[PackingSlip], int]:
    """Return the slips of the orders that can be shipped, first paid first, and the number of the others.

    Takes two queries, however many orders.
    """
    lines = OrderLine.objects.order_by("position")
    slips = []
    left_out = 0
    # None: the list's query prefetches lines of its own
    chosen = orders.order_by("paid_at", "id").prefetch_related(None)
    for order in chosen.prefetch_related(Prefetch("lines", queryset=lines)):
        to_ship = [line for line in order.lines.all() if line.shippable]
        if to_ship and order.status in SHIPPABLE_STATUSES:
            slips.append(PackingSlip(order, to_ship))
        else:
            left_out += 1
    return slips, left_out
