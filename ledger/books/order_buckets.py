"""The tax buckets of orders, and their money outside every bucket, read from the rows.

Order lines, refund lines and journal entries decide; `ledger.books.tax_buckets` calculates with what is read
here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import IntegerField, Min, Q, QuerySet, Sum, Value

from kikaku.money import TAX_CLASSES
from ledger.books import accounts, posting
from ledger.books.tax import SHIPPING_CLASS
from ledger.books.tax_buckets import SoldPortion, TaxBucket
from ledger.models import JournalLine, KeptMoneyLine, Order, OrderLine, Payment, Refund, RefundLine
from ledger.models.books import LineTaxClass

IN_BUCKETS = ~Q(tax_class="")  # refund lines that take from a tax bucket

# A refund line of the shipping fee has no order line and a quantity of 1; a refund line of a part of a class
# has 0.
IS_SHIPPING_LINE = Q(order_line__isnull=True, tax_class=SHIPPING_CLASS, quantity=1)

# One of an order line without pieces repays pieces that had gone back on the shelf when their refund was
# withdrawn.
IS_OF_RELEASED_PIECES = Q(order_line__isnull=False, quantity=0)

# the class of goods whose sale or return an account holds, with its tax
CLASS_OF_ACCOUNT = {
    accounts.SHIPPING_INCOME: SHIPPING_CLASS,
    **{code: tax_class for tax_class, code in accounts.SALES_ACCOUNTS.items()},
    **{code: tax_class for tax_class, code in accounts.RETURNS_ACCOUNTS.items()},
    **{code: tax_class for tax_class, code in accounts.OUTPUT_TAX_ACCOUNTS.items()},
}
OUTPUT_TAX = frozenset(accounts.OUTPUT_TAX_ACCOUNTS.values())

Portions = dict[int | None, SoldPortion]  # by rate, the first sold first


def tax_buckets(order: Order) -> dict[str, TaxBucket]:
    """Return the bucket of each tax class, by posted shipments and requested refunds. Three queries.

    A refund counts from its request on: one that fails is owed in 2120. Only one that was cancelled before
    its money moved counts no more. Money that was kept counts like a refund of what is prepaid.
    """
    return tax_buckets_of([order])[order.pk]


def tax_buckets_of(orders: Sequence[Order]) -> dict[int, dict[str, TaxBucket]]:
    """Return the buckets of several orders by order id, like `tax_buckets`. Three queries for all of them."""
    gross = {order.pk: dict.fromkeys(TAX_CLASSES, 0) for order in orders}
    for order_id, tax_class, total in OrderLine.objects.filter(order__in=gross.keys()).values_list(
        "order_id", "tax_class", "total"
    ):
        gross[order_id][tax_class] += total
    counts = Q(refund__withdrawn=False)
    refunded: dict[tuple[int, str], list[int]] = {}
    for order_id, tax_class, *amounts in (
        RefundLine.objects.filter(IN_BUCKETS, refund__order__in=gross.keys())
        .values_list("refund__order_id", "tax_class")
        .annotate(
            from_prepaid=Sum("prepaid", filter=counts),
            from_recognised=Sum("recognised", filter=counts),
            released=Sum("prepaid", filter=~counts & Q(order_line__isnull=False)),
            released_back=Sum("prepaid", filter=counts & IS_OF_RELEASED_PIECES),
            taken_back=Sum("recognised", filter=~counts & Q(order_line__isnull=False, refund__restock=True)),
            returned_back=Sum("recognised", filter=counts & IS_OF_RELEASED_PIECES),
        )
        .order_by()
        .values_list(
            "refund__order_id",
            "tax_class",
            "from_prepaid",
            "from_recognised",
            "released",
            "released_back",
            "taken_back",
            "returned_back",
        )
        .union(_kept_in_buckets(gross.keys()), all=True)
    ):
        sums = refunded.setdefault((order_id, tax_class), [0] * 6)
        refunded[order_id, tax_class] = [
            sum(pair) for pair in zip(sums, (n or 0 for n in amounts), strict=True)
        ]
    sold = sold_portions(gross.keys())
    buckets: dict[int, dict[str, TaxBucket]] = {order_id: {} for order_id in gross}
    for order in orders:
        gross[order.pk][SHIPPING_CLASS] += order.shipping_fee
        for tax_class in TAX_CLASSES:
            from_prepaid, from_recognised, released, released_back, returned, returned_back = refunded.get(
                (order.pk, tax_class), [0] * 6
            )
            buckets[order.pk][tax_class] = TaxBucket(
                tax_class=tax_class,
                gross=gross[order.pk][tax_class],
                sold=tuple(sold.get((order.pk, tax_class), {}).values()),
                refunded_prepaid=from_prepaid,
                refunded_recognised=from_recognised,
                rounding=order.tax_rounding,
                held=max(0, released - released_back),
                held_sales=max(0, returned - returned_back),
            )
    return buckets


def _kept_in_buckets(orders: Iterable[int]) -> QuerySet[KeptMoneyLine, tuple[int, str, int]]:
    """Return what was kept of prepaid money, in the columns of `tax_buckets_of`.

    It was held for pieces that a withdrawn refund released, unless nothing is to be shipped any more.
    """
    nothing = Value(0, IntegerField())
    return (
        KeptMoneyLine.objects.filter(IN_BUCKETS, kept__order__in=orders)
        .values_list("kept__order_id", "tax_class")
        .annotate(
            from_prepaid=Sum("prepaid"),
            from_recognised=nothing,
            released=nothing,
            released_back=Sum("prepaid"),
            taken_back=nothing,
            returned_back=nothing,
        )
        .order_by()
    )


def posted_tax_buckets_of(orders: Sequence[Order]) -> dict[int, dict[str, TaxBucket]]:
    """Return the buckets by order id with posted instead of requested refunds, for cumulative tax."""
    return {
        order_id: {
            tax_class: replace(bucket, refunded_recognised=sum(portion.refunded for portion in bucket.sold))
            for tax_class, bucket in of_order.items()
        }
        for order_id, of_order in tax_buckets_of(orders).items()
    }


def sold_portions(orders: Iterable[int]) -> dict[tuple[int, str], Portions]:
    """Return what was sold and returned by order id and tax class, as it is posted. One query."""
    portions: dict[tuple[int, str], Portions] = {}
    for order_id, source, account, line_class, rate, debit, credit, _first in (
        JournalLine.objects.filter(entry__order__in=list(orders), account__in=list(CLASS_OF_ACCOUNT))
        .values_list("entry__order_id", "entry__source_type", "account_id", "tax_class", "tax_rate")
        .annotate(debits=Sum("debit"), credits=Sum("credit"), first=Min("entry_id"))
        .order_by("first")
        .values_list(
            "entry__order_id",
            "entry__source_type",
            "account_id",
            "tax_class",
            "tax_rate",
            "debits",
            "credits",
            "first",
        )
    ):
        tax_class = CLASS_OF_ACCOUNT[account]
        if line_class is None:
            rate = accounts.RATES_OF_FORM_1[tax_class]
        of_class = portions.setdefault((order_id, tax_class), {})
        portion = of_class.get(rate, SoldPortion(rate))
        tax = (credit - debit) * (account in OUTPUT_TAX)
        if source == posting.SHIPMENT_SOURCE:
            of_class[rate] = replace(portion, gross=portion.gross + credit - debit, tax=portion.tax + tax)
        else:
            taxed = (debit - credit) * (line_class != LineTaxClass.OUTSIDE)
            of_class[rate] = replace(
                portion,
                refunded=portion.refunded + debit - credit,
                refunded_taxed=portion.refunded_taxed + taxed,
                tax_reversed=portion.tax_reversed - tax,
            )
    return portions


@dataclass(frozen=True)
class UnallocatedMoney:
    """Money of an order that belongs to no tax bucket (JPY), without what was refunded or kept of it."""

    is_funded: bool  # whether the payments cover the order; if not, its buckets are empty
    excess: int  # paid beyond the order's total and still here; all that was paid when it is not funded
    owed: int  # of failed refunds, not yet refunded again
    # refunded at Stripe although it was reserved for a refund of ours, which therefore cannot succeed
    overdrawn: int


def unallocated_money(order: Order) -> UnallocatedMoney:
    """Return what was paid beyond the order's total, and what is owed since refunds failed. Four queries."""
    captured: int = Payment.objects.filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    failed: int = Refund.objects.owed().filter(order=order).aggregate(sum=Sum("amount"))["sum"] or 0
    refunded = RefundLine.objects.filter(refund__order=order, refund__withdrawn=False).exclude(IN_BUCKETS)
    kept_lines = KeptMoneyLine.objects.filter(kept__order=order).exclude(IN_BUCKETS)
    taken = list(_taken(refunded).union(_taken(kept_lines), all=True))
    taken_excess, taken_payable = (sum(sums) for sums in zip(*taken, strict=True)) if taken else (0, 0)
    settlements = JournalLine.objects.filter(
        entry__order=order,
        entry__source_type=posting.REFUND_SOURCE,
        entry__purpose=posting.SETTLEMENT_PURPOSE,
        account=accounts.REFUNDS_PAYABLE,
    )
    settled: int = settlements.aggregate(sum=Sum("debit"))["sum"] or 0
    given_back = taken_excess - settled
    overdrawn = max(0, given_back - (captured - order.total if captured >= order.total else captured))
    kept = captured - given_back + overdrawn  # what was refunded outside the buckets was never for the order
    is_funded = kept >= order.total
    return UnallocatedMoney(
        is_funded=is_funded,
        excess=kept - (order.total if is_funded else 0),
        owed=failed - taken_payable - settled,
        overdrawn=overdrawn,
    )


def _taken(lines: QuerySet[Any]) -> QuerySet[Any, tuple[int, int]]:
    """Return what lines of one order take out of 2130 and 2120; no row without any."""
    found: QuerySet[Any, tuple[int, int]] = (
        lines.order_by()
        .values("tax_class")
        .annotate(from_prepaid=Sum("prepaid"), from_payable=Sum("payable"))
        .values_list("from_prepaid", "from_payable")
    )
    return found
