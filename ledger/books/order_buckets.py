"""The tax buckets of orders, and their money outside every bucket, read from the rows.

Order lines, refund lines and journal entries decide; `ledger.books.tax_buckets` calculates with what is read
here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from django.db.models import Q, Sum

from kikaku.money import TAX_RATES
from ledger.books import accounts, posting
from ledger.books.tax import SHIPPING_RATE
from ledger.books.tax_buckets import TaxBucket
from ledger.models import JournalLine, Order, OrderLine, Payment, Refund, RefundLine

# A refund line of the shipping fee has no order line and a quantity of 1; a refund line of a part of a rate
# has 0.
IS_SHIPPING_LINE = Q(order_line__isnull=True, tax_rate=SHIPPING_RATE, quantity=1)

# One of an order line without pieces repays pieces that had gone back on the shelf when their refund was
# withdrawn.
IS_OF_RELEASED_PIECES = Q(order_line__isnull=False, quantity=0)

Credits = defaultdict[tuple[int, str], int]  # credit − debit (JPY) by order and account


def tax_buckets(order: Order) -> dict[int, TaxBucket]:
    """Return the bucket of each rate, by posted shipments and requested refunds. Three queries.

    A refund counts from its request on: one that fails is owed in 2120. Only one that was cancelled before
    its money moved counts no more.
    """
    return tax_buckets_of([order])[order.pk]


def tax_buckets_of(orders: Sequence[Order]) -> dict[int, dict[int, TaxBucket]]:
    """Return the buckets of several orders by order id, like `tax_buckets`. Three queries for all of them."""
    return _buckets(orders, *_posted_by_shipments(order.pk for order in orders))


def _buckets(
    orders: Sequence[Order], shipped: Credits, reversed_: Credits
) -> dict[int, dict[int, TaxBucket]]:
    gross = {order.pk: dict.fromkeys(TAX_RATES, 0) for order in orders}
    for order_id, rate, total in OrderLine.objects.filter(order__in=gross.keys()).values_list(
        "order_id", "tax_rate", "total"
    ):
        gross[order_id][rate] += total
    for order in orders:
        gross[order.pk][SHIPPING_RATE] += order.shipping_fee
    counts = Q(refund__withdrawn=False)
    refunded = {
        (order_id, rate): [amount or 0 for amount in amounts]
        for order_id, rate, *amounts in RefundLine.objects.filter(
            refund__order__in=gross.keys(), tax_rate__isnull=False
        )
        .values_list("refund__order_id", "tax_rate")
        .annotate(
            from_prepaid=Sum("prepaid", filter=counts),
            from_recognised=Sum("recognised", filter=counts),
            released=Sum("prepaid", filter=~counts & Q(order_line__isnull=False)),
            released_back=Sum("prepaid", filter=counts & IS_OF_RELEASED_PIECES),
            returned=Sum("recognised", filter=~counts & Q(order_line__isnull=False, refund__restock=True)),
            returned_back=Sum("recognised", filter=counts & IS_OF_RELEASED_PIECES),
        )
        .order_by()
        .values_list(
            "refund__order_id",
            "tax_rate",
            "from_prepaid",
            "from_recognised",
            "released",
            "released_back",
            "returned",
            "returned_back",
        )
    }
    buckets: dict[int, dict[int, TaxBucket]] = {order_id: {} for order_id in gross}
    for order_id, gross_by_rate in gross.items():
        for rate in TAX_RATES:
            from_prepaid, from_recognised, released, released_back, returned, returned_back = refunded.get(
                (order_id, rate), [0] * 6
            )
            shipping = shipped[order_id, accounts.SHIPPING_INCOME] if rate == SHIPPING_RATE else 0
            tax = shipped[order_id, accounts.OUTPUT_TAX_ACCOUNTS[rate]]
            buckets[order_id][rate] = TaxBucket(
                rate=rate,
                gross=gross_by_rate[rate],
                recognised=shipped[order_id, accounts.SALES_ACCOUNTS[rate]] + shipping + tax,
                tax=tax,
                refunded_prepaid=from_prepaid,
                refunded_recognised=from_recognised,
                tax_reversed=-reversed_[order_id, accounts.OUTPUT_TAX_ACCOUNTS[rate]],
                held=max(0, released - released_back),
                held_sales=max(0, returned - returned_back),
            )
    return buckets


def posted_tax_buckets_of(orders: Sequence[Order]) -> dict[int, dict[int, TaxBucket]]:
    """Return the buckets by order id with posted instead of requested refunds, for cumulative tax."""
    shipped, posted = _posted_by_shipments(order.pk for order in orders)
    return {
        order_id: {
            rate: replace(
                bucket,
                refunded_recognised=-posted[order_id, accounts.RETURNS_ACCOUNTS[rate]]
                - posted[order_id, accounts.OUTPUT_TAX_ACCOUNTS[rate]],
            )
            for rate, bucket in by_rate.items()
        }
        for order_id, by_rate in _buckets(orders, shipped, posted).items()
    }


def _posted_by_shipments(orders: Iterable[int]) -> tuple[Credits, Credits]:
    """Return credit − debit by order and account of the entries of shipments, and of all other entries."""
    shipped: Credits = defaultdict(int)
    others: Credits = defaultdict(int)
    for order_id, source, account, debit, credit in (
        JournalLine.objects.filter(entry__order__in=list(orders))
        .values_list("entry__order_id", "entry__source_type", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__order_id", "entry__source_type", "account_id", "debits", "credits")
    ):
        found = shipped if source == posting.SHIPMENT_SOURCE else others
        found[order_id, account] += credit - debit
    return shipped, others


@dataclass(frozen=True)
class UnallocatedMoney:
    """Money of an order that belongs to no tax bucket (JPY)."""

    is_funded: bool  # whether the payments cover the order; if not, its buckets are empty
    excess: int  # paid beyond the order's total and not refunded; all that was paid when it is not funded
    owed: int  # of failed refunds, not yet refunded again
    # refunded at Stripe although it was reserved for a refund of ours, which therefore cannot succeed
    overdrawn: int


def unallocated_money(order: Order) -> UnallocatedMoney:
    """Return what was paid beyond the order's total, and what is owed since refunds failed. Four queries."""
    captured: int = Payment.objects.filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    failed: int = Refund.objects.owed().filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    lines = RefundLine.objects.filter(refund__order=order, refund__withdrawn=False)
    taken = lines.filter(tax_rate__isnull=True).aggregate(excess=Sum("prepaid"), payable=Sum("payable"))
    settlements = JournalLine.objects.filter(
        entry__order=order,
        entry__source_type=posting.REFUND_SOURCE,
        entry__purpose=posting.SETTLEMENT_PURPOSE,
        account=accounts.REFUNDS_PAYABLE,
    )
    settled: int = settlements.aggregate(sum=Sum("debit"))["sum"] or 0
    given_back = (taken["excess"] or 0) - settled
    overdrawn = max(0, given_back - (captured - order.total if captured >= order.total else captured))
    kept = captured - given_back + overdrawn  # what was refunded outside the buckets was never for the order
    is_funded = kept >= order.total
    return UnallocatedMoney(
        is_funded=is_funded,
        excess=kept - (order.total if is_funded else 0),
        owed=failed - (taken["payable"] or 0) - settled,
        overdrawn=overdrawn,
    )
