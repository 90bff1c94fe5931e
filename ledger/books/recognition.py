"""Recognise sales: what is posted when a shipment leaves."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Sum

from kikaku.days import business_day
from kikaku.money import TAX_CLASSES
from kikaku.transactions import require_transaction
from ledger.books import journal, posting
from ledger.books.order_buckets import IS_SHIPPING_LINE, tax_buckets
from ledger.books.posting import Subject
from ledger.books.tax import SHIPPING_CLASS, value_of_pieces
from ledger.books.tax_buckets import TaxBucket, recognise
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.models import JournalEntry, Order, OrderLine, RefundLine, Shipment, ShipmentLine


def post_shipment(
    shipment: Shipment, *, now: datetime, buckets: Mapping[str, TaxBucket] | None = None
) -> JournalEntry | None:
    """Post a shipment inside the transaction that writes it, with the order locked; return its entry.

    Each tax class recognises the value of the shipped pieces, at most what refunds left of the bucket, at the
    rate of the day of the shipment. The last shipment of a class takes all that is left. The shipping fee
    goes with the first shipment that is sold, or with the last gift if none is. A shipment that was posted
    before returns its entry; None means that nothing was left to recognise. `buckets` are those of its order,
    where the caller has read them. Raises `TaxStatusMissing`.
    """
    require_transaction()
    posted = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT_SOURCE,
        source_id=str(shipment.pk),
        purpose=posting.RECOGNITION_PURPOSE,
    ).first()
    if posted is not None:
        return posted
    order = shipment.order
    goods, is_last = _shipped_value(shipment)
    buckets = buckets or tax_buckets(order)
    shipping = _shipping_fee_to_recognise(shipment, buckets)
    rules = load_tax_rules()
    sales = []
    for tax_class, bucket in buckets.items():
        _bucket, sale = recognise(
            bucket,
            goods=goods[tax_class],
            shipping=shipping if tax_class == SHIPPING_CLASS else 0,
            is_last=is_last[tax_class],
            rate=rules.charged_rate(tax_class, business_day(shipment.shipped_at)),
        )
        sales.append(sale)
    draft = posting.shipment(
        str(shipment.pk), occurred_at=shipment.shipped_at, subject=Subject.of(order), sales=sales
    )
    return journal.post(draft, now=now, rules=rules) if draft.lines else None


def _shipped_value(shipment: Shipment) -> tuple[dict[str, int], dict[str, bool]]:
    """Return by tax class the value of the shipment's pieces (JPY), and whether they are its last."""
    shipped_before: dict[int, int] = {}
    in_shipment: dict[int, int] = {}
    for line_id, shipment_id, quantity in ShipmentLine.objects.filter(
        shipment__order=shipment.order, shipment_id__lte=shipment.pk
    ).values_list("order_line_id", "shipment_id", "quantity"):
        pieces = in_shipment if shipment_id == shipment.pk else shipped_before
        pieces[line_id] = pieces.get(line_id, 0) + quantity
    goods = dict.fromkeys(TAX_CLASSES, 0)
    is_last = dict.fromkeys(TAX_CLASSES, True)
    for line in OrderLine.objects.filter(order=shipment.order):
        before, shipped = shipped_before.get(line.pk, 0), in_shipment.get(line.pk, 0)
        goods[line.tax_class] += value_of_pieces(line.total, line.quantity, before, shipped)
        if before + shipped + line.cancelled < line.quantity:
            is_last[line.tax_class] = False
    return goods, is_last


def sold_values(order: Order, rules: TaxRules) -> dict[str, Counter[int | None]]:
    """Return by tax class and rate the value (JPY) of what was shipped and is no gift, with the shipping fee.

    Each parcel has the rate of its day; the fee that of the first.
    """
    values: dict[str, Counter[int | None]] = {tax_class: Counter() for tax_class in TAX_CLASSES}
    before: defaultdict[int, int] = defaultdict(int)  # pieces of a line in earlier parcels
    first: Shipment | None = None
    for part in (
        ShipmentLine.objects.filter(shipment__order=order)
        .select_related("shipment", "order_line")
        .order_by("shipment_id", "pk")
    ):
        line = part.order_line
        if not part.shipment.gift:
            first = first or part.shipment
            rate = rules.charged_rate(line.tax_class, business_day(part.shipment.shipped_at))
            values[line.tax_class][rate] += value_of_pieces(
                line.total, line.quantity, before[line.pk], part.quantity
            )
        before[line.pk] += part.quantity
    if first is not None:
        rate = rules.charged_rate(SHIPPING_CLASS, business_day(first.shipped_at))
        values[SHIPPING_CLASS][rate] += _shipping_fee_left(order)
    return values


def _shipping_fee_to_recognise(shipment: Shipment, buckets: Mapping[str, TaxBucket]) -> int:
    """Return the part of the shipping fee (JPY) that this shipment recognises: what is not refunded, or 0.

    `buckets` are those before it. A gift recognises none while sold goods may follow.
    """
    order = shipment.order
    if shipment.gift and order.lines.unshipped().exists():
        return 0
    return 0 if is_shipping_fee_sold(order, buckets, before=shipment) else _shipping_fee_left(order)


def is_shipping_fee_sold(
    order: Order, buckets: Mapping[str, TaxBucket], *, before: Shipment | None = None
) -> bool:
    """Return whether shipments, or those `before` one, recognised the fee; `buckets` are those after them.

    Gifts alone recognise nothing but the fee.
    """
    sold = order.shipments.filter(gift="")
    earlier = sold.filter(pk__lt=before.pk) if before else sold
    return buckets[SHIPPING_CLASS].recognised > 0 or earlier.exists()


def _shipping_fee_left(order: Order) -> int:
    """Return what refunds left of the shipping fee (JPY) before it was recognised."""
    lines = RefundLine.objects.filter(IS_SHIPPING_LINE, refund__order=order, refund__withdrawn=False)
    refunded = lines.aggregate(sum=Sum("prepaid"))
    return order.shipping_fee - (refunded["sum"] or 0)
