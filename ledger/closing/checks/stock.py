"""Checks of the stock items."""

from collections.abc import Iterator

from django.db.models import F, IntegerField, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from ledger.closing.findings import Check, Finding
from ledger.models import OrderLine, StockItem, StockMovement


def stock_items() -> Iterator[Finding]:
    """Check that on hand is the sum of the movements, and reserved the sum of what order lines hold."""
    movements = (
        StockMovement.objects.filter(item=OuterRef("pk"))
        .order_by()
        .values("item")
        .annotate(sum=Sum("quantity"))
    ).values("sum")
    held = (
        OrderLine.objects.filter(item=OuterRef("pk")).order_by().values("item").annotate(sum=Sum("reserved"))
    ).values("sum")
    for item in (
        StockItem.objects.annotate(
            moved=Coalesce(Subquery(movements, output_field=IntegerField()), 0),
            held=Coalesce(Subquery(held, output_field=IntegerField()), 0),
        )
        .exclude(on_hand=F("moved"), reserved=F("held"))
        .order_by("sku")
    ):
        yield Finding(
            Check.STOCK,
            "StockItem",
            item.sku,
            f"on hand {item.moved}, reserved {item.held}",
            f"on hand {item.on_hand}, reserved {item.reserved}",
        )
