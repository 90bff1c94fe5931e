"""The pots of one order as its rows stand: charged, recognised by parcels, taken by refunds; and money in no pot.

The rows decide (order lines, refund lines, entries); `ledger.pots` calculates with what is found here.
"""

from dataclasses import dataclass, replace

from django.db.models import Q, Sum

from ledger import accounts, posting
from ledger.models import JournalLine, Order, Payment, Refund, RefundLine
from ledger.pots import Pot
from ledger.tax import RATES, SHIPPING_RATE

# A refund line of the shipping fee: bound to no order line, but to one "piece"; a part of a whole rate has none.
SHIPPING_LINE = Q(order_line__isnull=True, tax_rate=SHIPPING_RATE, quantity=1)


def pots(order: Order) -> dict[int, Pot]:
    """Give the pot of each rate as shipments were posted and refunds were asked for. Four queries.

    A refund counts from its request, whatever becomes of it: one that fails is owed in 2120.
    """
    gross = dict.fromkeys(RATES, 0)
    for rate, total in order.lines.values_list("tax_rate", "total"):
        gross[rate] += total
    gross[SHIPPING_RATE] += order.shipping_fee
    posted = _posted(order, Q(entry__source_type=posting.SHIPMENT))
    reversed_ = _posted(order, ~Q(entry__source_type=posting.SHIPMENT))
    refunded = {
        rate: (before, after)
        for rate, before, after in RefundLine.objects.filter(refund__order=order, tax_rate__isnull=False)
        .values_list("tax_rate")
        .annotate(before=Sum("prepaid"), after=Sum("recognised"))
        .order_by()
        .values_list("tax_rate", "before", "after")
    }
    found = {}
    for rate in RATES:
        before, after = refunded.get(rate, (0, 0))
        shipping = posted.get(accounts.SHIPPING_INCOME, 0) if rate == SHIPPING_RATE else 0
        tax = posted.get(accounts.OUTPUT_TAX[rate], 0)
        found[rate] = Pot(
            rate=rate,
            gross=gross[rate],
            recognised=posted.get(accounts.SALES[rate], 0) + shipping + tax,
            tax=tax,
            refunded_before=before,
            refunded_after=after,
            tax_reversed=-reversed_.get(accounts.OUTPUT_TAX[rate], 0),
        )
    return found


def _posted(order: Order, which: Q) -> dict[str, int]:
    """Give credit − debit per account of some of the order's entries."""
    return {
        account: credit - debit
        for account, debit, credit in JournalLine.objects.filter(which, entry__order=order)
        .values_list("account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("account_id", "debits", "credits")
    }


def pots_as_posted(order: Order) -> dict[int, Pot]:
    """Give the pots with what refunds have posted, not with what was asked for: the base of cumulative tax."""
    posted = _posted(order, ~Q(entry__source_type=posting.SHIPMENT))
    return {
        rate: replace(
            pot,
            refunded_after=-posted.get(accounts.RETURNS[rate], 0) - posted.get(accounts.OUTPUT_TAX[rate], 0),
        )
        for rate, pot in pots(order).items()
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
    settled = -_posted(order, Q(entry__source_type=posting.REFUND, entry__purpose=posting.SETTLED)).get(
        accounts.REFUNDS_PAYABLE, 0
    )
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
