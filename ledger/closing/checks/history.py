"""Checks of what may change, against what may not: the history of orders, stock movements, the chart."""

from collections import defaultdict
from collections.abc import Iterator

from django.db.models import (
    CharField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Concat

from ledger.books.accounts import CHART
from ledger.closing.findings import Check, Finding
from ledger.models import (
    Account,
    Order,
    OrderEvent,
    OrderLine,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
    StockMovement,
    StripeEvent,
)
from ledger.models.orders import OrderStatus

ENDED: dict[str, OrderEvent.Kind] = {  # status of a refund → the act that led to it
    Refund.Status.SUCCEEDED: OrderEvent.Kind.REFUND_SUCCEEDED,
    Refund.Status.FAILED: OrderEvent.Kind.REFUND_FAILED,
    Refund.Status.CANCELED: OrderEvent.Kind.REFUND_CANCELLED,
}
ENDED_FOR_GOOD = (Refund.Status.FAILED, Refund.Status.CANCELED)


def order_statuses(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check the status of each order against its parcels, the pieces that are left, and its history.

    The records of each closed day count the history's rows: it cannot be emptied unnoticed.
    """
    acts = OrderEvent.objects.filter(order=OuterRef("pk"))
    for order in (
        orders.filter(Exists(acts))
        .annotate(
            has_parcels=Exists(Shipment.objects.filter(order=OuterRef("pk"))),
            has_rest=Exists(
                OrderLine.objects.filter(order=OuterRef("pk"), quantity__gt=F("shipped") + F("cancelled"))
            ),
            was_paid=Exists(acts.filter(kind=OrderEvent.Kind.PAID)),
            was_cancelled=Exists(acts.filter(kind=OrderEvent.Kind.CANCELLED)),
        )
        .order_by("pk")
        .iterator(2000)
    ):
        expected = _expected_status(order)
        if order.status != expected:
            yield Finding(Check.ORDER_STATUS, "Order", order.number, expected, order.status)


def _expected_status(order: Order) -> str:
    """Return the status that history and parcels of an annotated order give."""
    facts = vars(order)
    if facts["was_cancelled"]:
        return OrderStatus.CANCELLED
    if not facts["was_paid"]:
        return OrderStatus.PENDING
    if not facts["has_parcels"]:
        return OrderStatus.PAID
    return OrderStatus.PARTIALLY_SHIPPED if facts["has_rest"] else OrderStatus.SHIPPED


def refund_statuses(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that the status of each refund is the last one that the history of its order knows."""
    acts: defaultdict[int, set[str]] = defaultdict(set)
    for kind, data in OrderEvent.objects.filter(order__in=orders, kind__in=ENDED.values()).values_list(
        "kind", "data"
    ):
        acts[int(data.get("refund", 0))].add(kind)
    with_history = OrderEvent.objects.filter(order=OuterRef("order"))
    for refund in Refund.objects.filter(Exists(with_history), order__in=orders).order_by("pk"):
        known = acts[refund.pk]
        ended = [status for status in ENDED_FOR_GOOD if ENDED[status] in known]
        expected = ended or [Refund.Status.SUCCEEDED] * (OrderEvent.Kind.REFUND_SUCCEEDED in known)
        found_end = refund.status if refund.status in ENDED else ""
        if found_end != (expected[0] if expected else ""):
            yield Finding(
                Check.REFUND_STATUS,
                "Refund",
                str(refund),
                str(expected[0].value) if expected else "not ended",
                refund.status,
            )


def line_pieces(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check the pieces of parcels against the stock movements, and what was returned against the refunds."""
    moved = StockMovement.objects.filter(
        kind=StockMovement.Kind.SHIPMENT,
        item=OuterRef("order_line__item"),
        source=Concat(Value("shipment_line:"), Cast(OuterRef("pk"), CharField(max_length=20))),
    )
    for part in (
        ShipmentLine.objects.filter(shipment__order__in=orders)
        .annotate(taken=-Coalesce(Subquery(moved.values("quantity")[:1]), 0))
        .exclude(taken=F("quantity"))
        .order_by("pk")
    ):
        yield Finding(
            Check.LINE_PIECES,
            "ShipmentLine",
            str(part.pk),
            f"{part.taken} out of stock",
            f"{part.quantity} shipped",
        )
    of_refunds = RefundLine.objects.filter(order_line=OuterRef("pk")).order_by().values("order_line")

    def refunded(pieces: str) -> Coalesce:
        total = of_refunds.annotate(sum=Sum(pieces)).values("sum")
        return Coalesce(Subquery(total, output_field=IntegerField()), 0)

    # a withdrawn refund gives its money back, not its pieces; what an order's end cancels has no refund line
    for line in (
        OrderLine.objects.filter(order__in=orders)
        .annotate(taken_back=refunded("returned"), refunded=refunded("quantity"))
        .exclude(returned=F("taken_back"), cancelled__gte=F("refunded") - F("taken_back"))
        .select_related("order")
        .order_by("pk")
    ):
        yield Finding(
            Check.LINE_PIECES,
            "OrderLine",
            f"{line.pk} ({line.order.number} {line.sku})",
            f"{line.taken_back} returned, {line.refunded - line.taken_back} cancelled by refunds",
            f"{line.returned} returned, {line.cancelled} cancelled",
        )


def account_types() -> Iterator[Finding]:
    """Check that the accounts that the code uses are there, with their types; staff may rename them."""
    types = dict(Account.objects.values_list("code", "type"))
    for account in CHART:
        if types.get(account.code) != account.type:
            yield Finding(
                Check.ACCOUNT_TYPE,
                "Account",
                account.code,
                account.type,
                types.get(account.code, "no account"),
            )


def emptied_events() -> Iterator[Finding]:
    """Check that no Stripe event lost what Stripe sent: its own id, and the object that it is about."""
    empty = Value("", TextField())
    emptied = StripeEvent.objects.alias(
        sent=Coalesce(KT("payload__id"), empty), about=Coalesce(KT("payload__data__object"), empty)
    ).exclude(~Q(about__in=("", "{}")), sent=F("pk"))
    for pk in emptied.order_by("pk").values_list("pk", flat=True):
        yield Finding(Check.EMPTIED_EVENT, "StripeEvent", pk, "what Stripe sent", "not that")
