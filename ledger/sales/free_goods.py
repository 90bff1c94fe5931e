"""What left without a sale, and corrected counts: the list of a period that the accountant asks for (D 12).

There is no entry for any of it. Goods for own use or an officer count as sold (みなし譲渡), and samples and
prizes move to another account, in the accounting software: the reason says which.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from django.db.models import OuterRef, Q, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from kikaku.days import business_day, day_bounds
from ledger.models import OrderLine, ShipmentLine, StockMovement

NOT_RECORDED = _("not recorded")  # of what is older than the reasons


@dataclass(frozen=True)
class FreeGoods:
    """Pieces of an item that were given away, or of a correction."""

    day: date  # JST
    sku: str
    quantity: int  # negative: out, as in the movements of stock
    reason: str | Promise
    price: int | None  # JPY with tax of a piece: in the order, or when it was last ordered
    order_number: str  # empty for a correction
    note: str


def free_goods(first: date, last: date) -> list[FreeGoods]:
    """Return the gifts and corrections from one day to another, by day. Two queries."""
    return sorted([*_gifts(first, last), *_corrections(first, last)], key=lambda each: (each.day, each.sku))


def _gifts(first: date, last: date) -> Iterator[FreeGoods]:
    """Yield what left in gifts, and goods of ¥0 in parcels that were sold."""
    parts = ShipmentLine.objects.filter(
        ~Q(shipment__gift="") | Q(order_line__total=0),
        shipment__shipped_at__gte=day_bounds(first)[0],
        shipment__shipped_at__lt=day_bounds(last)[1],
    )
    for part in parts.select_related("shipment__order", "order_line").order_by("pk"):
        yield FreeGoods(
            day=part.shipment.shipped_on,
            sku=part.order_line.sku,
            quantity=-part.quantity,
            reason=part.get_gift_display() or part.shipment.get_gift_display() or NOT_RECORDED,
            price=part.order_line.unit_price,
            order_number=part.shipment.order.number,
            note=part.order_line.packing_title,
        )


def _corrections(first: date, last: date) -> Iterator[FreeGoods]:
    ordered = OrderLine.objects.filter(item=OuterRef("item")).order_by("-pk")
    movements = StockMovement.objects.filter(
        kind=StockMovement.Kind.ADJUSTMENT,
        occurred_at__gte=day_bounds(first)[0],
        occurred_at__lt=day_bounds(last)[1],
    )
    for movement in (
        movements.select_related("item")
        .annotate(price=Subquery(ordered.values("unit_price")[:1]))
        .order_by("pk")
    ):
        yield FreeGoods(
            day=business_day(movement.occurred_at),
            sku=movement.item.sku,
            quantity=movement.quantity,
            reason=movement.get_reason_display() if movement.reason else NOT_RECORDED,
            price=movement.price,
            order_number="",
            note=movement.note,
        )
