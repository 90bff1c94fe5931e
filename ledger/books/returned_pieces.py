"""The rates at which the pieces of a refund were sold: those of the parcels in which they came.

Needed only for orders of which a tax class was sold at several rates, since the rate or the merchant's status
changed between two parcels.
"""

from collections import defaultdict
from collections.abc import Sequence

from ledger.books import accounts, posting
from ledger.books.order_buckets import CLASS_OF_ACCOUNT, OUTPUT_TAX
from ledger.books.tax import spread
from ledger.models import JournalLine, RefundLine, ShipmentLine

Amounts = dict[int | None, int]  # JPY by rate; None: sold while the merchant was exempt


def amounts_by_rate(lines: Sequence[RefundLine]) -> dict[int, Amounts]:
    """Return by refund line id what of its recognised amount was sold at which rate. Three queries.

    The pieces of an order line that came first go back first. The shipping fee came with the first parcel. A
    line of an amount, without pieces, has nothing, nor has the fee when the first parcel was a gift: it is
    spread over what is left of each rate.
    """
    orders = {line.refund.order_id for line in lines}
    parcels: defaultdict[int, list[int]] = defaultdict(list)  # order line → the parcel of each piece
    first_parcel: dict[int, int] = {}
    for order_id, shipment_id, line_id, quantity in (
        ShipmentLine.objects.filter(shipment__order__in=orders)
        .order_by("shipment_id")
        .values_list("shipment__order_id", "shipment_id", "order_line_id", "quantity")
    ):
        first_parcel.setdefault(order_id, shipment_id)
        parcels[line_id] += [shipment_id] * quantity
    rates = _rates_of_parcels({str(each) for pieces in parcels.values() for each in pieces})
    returned_before = _returned_before(lines)
    found: dict[int, Amounts] = {}
    for line in lines:
        amounts: Amounts = defaultdict(int)
        if line.order_line_id is not None and line.returned:
            start = returned_before[line.pk]
            pieces = parcels[line.order_line_id][start : start + line.returned]
            of_parcels = {parcel: pieces.count(parcel) for parcel in pieces}
            shares = spread(line.recognised, list(of_parcels.values())) if of_parcels else []
            for parcel, share in zip(of_parcels, shares, strict=True):
                if (parcel, line.tax_class) in rates:
                    amounts[rates[parcel, line.tax_class]] += share
        elif line.order_line_id is None and line.quantity:
            parcel = first_parcel.get(line.refund.order_id, 0)
            if (parcel, line.tax_class) in rates:
                amounts[rates[parcel, line.tax_class]] += line.recognised
        found[line.pk] = dict(amounts)
    return found


def _rates_of_parcels(parcels: set[str]) -> dict[tuple[int, str], int | None]:
    """Return the rate of each parcel by its id and tax class; parcels that sold nothing have none."""
    rates: dict[tuple[int, str], int | None] = {}
    for parcel, account, line_class, rate in JournalLine.objects.filter(
        entry__source_type=posting.SHIPMENT_SOURCE,
        entry__purpose=posting.RECOGNITION_PURPOSE,
        entry__source_id__in=parcels,
        account__in=CLASS_OF_ACCOUNT.keys() - OUTPUT_TAX,
    ).values_list("entry__source_id", "account_id", "tax_class", "tax_rate"):
        tax_class = CLASS_OF_ACCOUNT[account]
        rates[int(parcel), tax_class] = accounts.RATES_OF_FORM_1[tax_class] if line_class is None else rate
    return rates


def _returned_before(lines: Sequence[RefundLine]) -> dict[int, int]:
    """Return by refund line id how many pieces of its order line earlier refunds took back."""
    earlier: defaultdict[int | None, list[tuple[int, int]]] = defaultdict(list)
    for line_id, refund_id, returned in RefundLine.objects.filter(
        order_line__in={line.order_line_id for line in lines}, refund__withdrawn=False
    ).values_list("order_line_id", "refund_id", "returned"):
        earlier[line_id].append((refund_id, returned))
    return {
        line.pk: sum(pieces for refund, pieces in earlier[line.order_line_id] if refund < line.refund_id)
        for line in lines
    }
