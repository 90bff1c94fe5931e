"""The pots of one order as its rows stand: charged, recognised by parcels, taken by refunds; and money in no pot.

The rows decide (order lines, refund lines, entries); `ledger.books.pots` calculates with what is found here.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from django.db.models import Q, Sum

from ledger.books import accounts, posting
from ledger.books.pots import Pot
from ledger.books.tax import RATES, SHIPPING_RATE
from ledger.models import JournalLine, Order, OrderLine, Payment, Refund, RefundLine

# A refund line of the shipping fee: bound to no order line, but to one "piece"; a part of a whole rate has none.
SHIPPING_LINE = Q(order_line__isnull=True, tax_rate=SHIPPING_RATE, quantity=1)


PARCELS = Q(entry__source_type=posting.SHIPMENT)


def pots(order: Order) -> dict[int, Pot]:
    """Give the pot of each rate as shipments were posted and refunds were asked for. Four queries.

    A refund counts from its request, whatever becomes of it: one that fails is owed in 2120.
    """
    return pots_of([order])[order.pk]


def pots_of(orders: Sequence[Order]) -> dict[int, dict[int, Pot]]:
    """Give the pots of some orders by their id, as `pots` does. Four queries for all of them."""
    gross = {order.pk: dict.fromkeys(RATES, 0) for order in orders}
    for order_id, rate, total in OrderLine.objects.filter(order__in=gross.keys()).values_list(
        "order_id", "tax_rate", "total"
    ):
        gross[order_id][rate] += total
    for order in orders:
        gross[order.pk][SHIPPING_RATE] += order.shipping_fee
    posted = _posted(gross.keys(), PARCELS)
    reversed_ = _posted(gross.keys(), ~PARCELS)
    refunded = {
        (order_id, rate): (before, after)
        for order_id, rate, before, after in RefundLine.objects.filter(
            refund__order__in=gross.keys(), tax_rate__isnull=False
        )
        .values_list("refund__order_id", "tax_rate")
        .annotate(before=Sum("prepaid"), after=Sum("recognised"))
        .order_by()
        .values_list("refund__order_id", "tax_rate", "before", "after")
    }
    found: dict[int, dict[int, Pot]] = {order_id: {} for order_id in gross}
    for order_id, by_rate in gross.items():
        for rate in RATES:
            before, after = refunded.get((order_id, rate), (0, 0))
            shipping = posted[order_id, accounts.SHIPPING_INCOME] if rate == SHIPPING_RATE else 0
            tax = posted[order_id, accounts.OUTPUT_TAX[rate]]
            found[order_id][rate] = Pot(
                rate=rate,
                gross=by_rate[rate],
                recognised=posted[order_id, accounts.SALES[rate]] + shipping + tax,
                tax=tax,
                refunded_before=before,
                refunded_after=after,
                tax_reversed=-reversed_[order_id, accounts.OUTPUT_TAX[rate]],
            )
    return found


def _posted(orders: Collection[int], which: Q) -> defaultdict[tuple[int, str], int]:
    """Give credit − debit per order and account of some entries of the orders; 0 where there is nothing."""
    found: defaultdict[tuple[int, str], int] = defaultdict(int)
    for order_id, account, debit, credit in (
        JournalLine.objects.filter(which, entry__order__in=orders)
        .values_list("entry__order_id", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__order_id", "account_id", "debits", "credits")
    ):
        found[order_id, account] = credit - debit
    return found


def pots_as_posted(orders: Sequence[Order]) -> dict[int, dict[int, Pot]]:
    """Give the pots by order with what refunds have posted, not with what was asked for: the base of cumulative tax."""
    posted = _posted([order.pk for order in orders], ~PARCELS)
    return {
        order_id: {
            rate: replace(
                pot,
                refunded_after=-posted[order_id, accounts.RETURNS[rate]]
                - posted[order_id, accounts.OUTPUT_TAX[rate]],
            )
            for rate, pot in by_rate.items()
        }
        for order_id, by_rate in pots_of(orders).items()
    }


@dataclass(frozen=True)
class Unbound:
    """Money of an order that lies in no pot (JPY)."""

    funded: bool  # whether the payments cover the order at all; if not, its pots are empty
    excess: int  # paid beyond the order's total and not refunded, or all that was paid when it is not funded
    owed: int  # of failed refunds, not yet asked for again
    overdrawn: (
        int  # went back at Stripe although it was promised to a refund of ours, which then can not succeed
    )


def unbound(order: Order) -> Unbound:
    """Tell what was paid beyond the order's total, and what is owed since refunds failed. Four queries."""
    captured: int = Payment.objects.filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    failed: int = (
        Refund.objects.filter(
            order=order, status__in=[Refund.Status.FAILED, Refund.Status.CANCELED]
        ).aggregate(sum=Sum("amount"))["sum"]
        or 0
    )
    taken = RefundLine.objects.filter(refund__order=order, tax_rate__isnull=True).aggregate(
        excess=Sum("prepaid"), payable=Sum("payable")
    )
    settlements = Q(entry__source_type=posting.REFUND, entry__purpose=posting.SETTLED)
    settled = -_posted([order.pk], settlements)[order.pk, accounts.REFUNDS_PAYABLE]
    given = (taken["excess"] or 0) - settled
    overdrawn = max(0, given - (captured - order.total if captured >= order.total else captured))
    kept = captured - given + overdrawn  # what was given back unbound was never for the order
    funded = kept >= order.total
    return Unbound(
        funded=funded,
        excess=kept - (order.total if funded else 0),
        owed=failed - (taken["payable"] or 0) - settled,
        overdrawn=overdrawn,
    )
