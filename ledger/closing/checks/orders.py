"""Checks of the orders: their sums, their sub-ledgers and tax, their payments, refunds and parcels."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from django.db.models import CharField, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce

from kikaku.money import REDUCED_RATE, STANDARD_RATE, TAX_RATES
from ledger.books import accounts, posting
from ledger.books.balance_postings import IS_CHARGE, IS_REFUND, IS_REFUND_FAILURE
from ledger.books.order_buckets import tax_buckets
from ledger.books.tax import SHIPPING_RATE, tax_of, value_of_pieces
from ledger.closing.findings import Check, Finding
from ledger.models import (
    BalanceTransaction,
    JournalEntry,
    JournalLine,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
)
from ledger.models.orders import OrderStatus

SUB_LEDGER_CHECKS = {
    accounts.PREPAYMENTS: Check.PREPAYMENTS,
    accounts.REFUNDS_PAYABLE: Check.REFUNDS_PAYABLE,
}
TAX_POSTED_CHECKS = {STANDARD_RATE: Check.TAX_10_POSTED, REDUCED_RATE: Check.TAX_8_POSTED}
TAX_REVERSED_CHECKS = {STANDARD_RATE: Check.TAX_10_REVERSED, REDUCED_RATE: Check.TAX_8_REVERSED}
# (whether a parcel posted it, account) → rate: the tax of parcels and of refunds is rounded apart
RATE_OF_TAXED_ACCOUNT = {
    (True, accounts.SHIPPING_INCOME): SHIPPING_RATE,
    **{(True, accounts.SALES_ACCOUNTS[rate]): rate for rate in TAX_RATES},
    **{(False, accounts.RETURNS_ACCOUNTS[rate]): rate for rate in TAX_RATES},
    **{
        (is_parcel, accounts.OUTPUT_TAX_ACCOUNTS[rate]): rate
        for is_parcel in (True, False)
        for rate in TAX_RATES
    },
}
ROWS_AT_ONCE = 2000  # read from the database at once


def order_totals(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that lines, shipping and discount add up to the total, and that tax is rounded once per rate."""
    gross: defaultdict[int, dict[int, int]] = defaultdict(lambda: dict.fromkeys(TAX_RATES, 0))
    discounts: defaultdict[int, int] = defaultdict(int)
    for order_id, rate, total, discount in (
        OrderLine.objects.filter(order__in=orders)
        .values_list("order_id", "tax_rate")
        .annotate(total_sum=Sum("total"), discount_sum=Sum("discount"))
        .order_by()
        .values_list("order_id", "tax_rate", "total_sum", "discount_sum")
    ):
        gross[order_id][rate] += total
        discounts[order_id] += discount
    for order in orders.order_by("pk").iterator(ROWS_AT_ONCE):
        by_rate = gross[order.pk]
        by_rate[SHIPPING_RATE] += order.shipping_fee
        expected = (
            sum(by_rate.values()),
            discounts[order.pk],
            tax_of(by_rate[STANDARD_RATE], STANDARD_RATE),
            tax_of(by_rate[REDUCED_RATE], REDUCED_RATE),
        )
        found = (order.total, order.discount, order.tax_10, order.tax_8)
        if expected != found:
            yield Finding(
                Check.ORDER_TOTAL,
                "Order",
                order.number,
                "total {}, discount {}, tax {} and {}".format(*expected),
                "total {}, discount {}, tax {} and {}".format(*found),
            )


def order_balances(orders: QuerySet[Order], *, until: date | None) -> Iterator[Finding]:
    """Check that 2130 and 2120 of each order equal its payments, parcels and refunds, and its tax per rate.

    With `until`, only entries up to the end of that day count.
    """
    cut = Q() if until is None else Q(entry__day__lte=until)
    booked: defaultdict[int, defaultdict[tuple[bool, str], int]] = defaultdict(lambda: defaultdict(int))
    for order_id, source, account, debit, credit in (
        JournalLine.objects.filter(cut, entry__order__in=orders)
        .values_list("entry__order_id", "entry__source_type", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__order_id", "entry__source_type", "account_id", "debits", "credits")
    ):
        booked[order_id][source == posting.SHIPMENT_SOURCE, account] += credit - debit
    prepaid, payable = _expected(orders, until=until)
    across = _across_cut(orders, until)
    numbers = dict(orders.order_by("pk").values_list("pk", "number"))
    for order_id in sorted(booked.keys() | prepaid.keys() | payable.keys()):
        lines = booked[order_id]
        yield from _order_findings(
            numbers[order_id],
            lines,
            prepaid=prepaid[order_id] + lines[True, accounts.PREPAYMENTS],
            payable=payable[order_id],
            across=across.get(order_id, _AcrossCut()),
        )


@dataclass
class _AcrossCut:
    """What an order with entries after the cut needs to be judged by those before it (JPY)."""

    # by account, 2130 and 2120: how much the later entries change it. A refund in Stripe's dashboard may take
    # the money before midnight that one of our refunds was to pay out, and Stripe refuses ours after that:
    # one of the two accounts is below zero at the cut then, and not on the next day.
    later: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    # by (whether of parcels, rate): the tax up to the cut. That of an entry is rounded over what was posted
    # before it, perhaps of a later day: Stripe reports a refund of yesterday after one of today was posted.
    taxes: defaultdict[tuple[bool, int], int] = field(default_factory=lambda: defaultdict(int))


def _across_cut(orders: QuerySet[Order], until: date | None) -> defaultdict[int, _AcrossCut]:
    """Return by order what its entries before and after the cut tell, of orders that have some after it."""
    across: defaultdict[int, _AcrossCut] = defaultdict(_AcrossCut)
    if until is None:
        return across
    gross: defaultdict[tuple[int, bool, int], int] = defaultdict(int)
    later = JournalEntry.objects.filter(order__in=orders, day__gt=until)
    for order_id, source, day, account, debit, credit in (
        JournalLine.objects.filter(entry__order__in=later.values("order"))
        .order_by("entry_id")
        .values_list("entry__order_id", "entry__source_type", "entry__day", "account_id", "debit", "credit")
    ):
        order = across[order_id]
        if day > until and account in accounts.CUSTOMER_LIABILITY_ACCOUNTS:
            order.later[account] += credit - debit
        is_parcel = source == posting.SHIPMENT_SOURCE
        rate = RATE_OF_TAXED_ACCOUNT.get((is_parcel, account))
        if rate is None:
            continue
        key = (order_id, is_parcel, rate)
        before = tax_of(max(gross[key], 0), rate)
        gross[key] += credit - debit if is_parcel else debit - credit
        if day <= until:
            order.taxes[is_parcel, rate] += tax_of(max(gross[key], 0), rate) - before
    return across


def _order_findings(
    number: str,
    lines: defaultdict[tuple[bool, str], int],
    *,
    prepaid: int,
    payable: int,
    across: _AcrossCut,
) -> Iterator[Finding]:
    for account, expected in zip(accounts.CUSTOMER_LIABILITY_ACCOUNTS, (prepaid, payable), strict=True):
        found = lines[True, account] + lines[False, account]
        if found != expected or max(found, found + across.later[account]) < 0:
            yield Finding(
                SUB_LEDGER_CHECKS[account], "Order", number, f"{max(expected, 0)} owed", f"{found} owed"
            )
    for rate in TAX_RATES:
        tax = lines[True, accounts.OUTPUT_TAX_ACCOUNTS[rate]]
        shipping = lines[True, accounts.SHIPPING_INCOME] if rate == SHIPPING_RATE else 0
        gross = lines[True, accounts.SALES_ACCOUNTS[rate]] + shipping + tax
        reversed_tax = -lines[False, accounts.OUTPUT_TAX_ACCOUNTS[rate]]
        reversed_gross = -lines[False, accounts.RETURNS_ACCOUNTS[rate]] + reversed_tax
        expected = across.taxes.get((True, rate), tax_of(max(gross, 0), rate))
        if tax != expected:
            yield Finding(TAX_POSTED_CHECKS[rate], "Order", number, str(expected), str(tax))
        expected = across.taxes.get((False, rate), tax_of(max(reversed_gross, 0), rate))
        if reversed_tax != expected or not 0 <= reversed_tax <= tax:
            yield Finding(
                TAX_REVERSED_CHECKS[rate],
                "Order",
                number,
                f"{expected}, within 0 and {tax}",
                str(reversed_tax),
            )


def _until(cut: date | None) -> Q:
    """Select the entries that count towards a balance at the cut."""
    return Q() if cut is None else Q(day__lte=cut)


def _posted_transaction(which: Q, source: str, until: date | None) -> Exists:
    """Return a condition: a balance transaction of the object in column `source` was posted by the cut."""
    entries = JournalEntry.objects.filter(
        source_type=posting.BALANCE_TRANSACTION_SOURCE, source_id=OuterRef("id")
    ).filter(_until(until))
    return Exists(BalanceTransaction.objects.filter(which, source=OuterRef(source)).filter(Exists(entries)))


def _expected(
    orders: QuerySet[Order], *, until: date | None
) -> tuple[defaultdict[int, int], defaultdict[int, int]]:
    """Return what payments and refunds leave in 2130 (before parcels) and in 2120, per order."""
    prepaid: defaultdict[int, int] = defaultdict(int)
    payable: defaultdict[int, int] = defaultdict(int)
    for order_id, amount in (
        Payment.objects.filter(_posted_transaction(IS_CHARGE, "charge", until), order__in=orders)
        .values_list("order_id")
        .annotate(sum=Sum("amount"))
        .order_by()
        .values_list("order_id", "sum")
    ):
        prepaid[order_id] += amount
    owed_without_money = set(
        JournalEntry.objects.filter(
            _until(until),
            source_type=posting.REFUND_SOURCE,
            purpose__in=posting.UNPAID_REFUND_PURPOSES,
            order__in=orders,
        )
        .exclude(Exists(JournalEntry.objects.filter(_until(until), reverses=OuterRef("pk"))))
        .values_list("source_id", flat=True)
    )
    for order_id, amount in (
        JournalLine.objects.filter(
            Q() if until is None else Q(entry__day__lte=until),
            entry__order__in=orders,
            entry__source_type=posting.REFUND_SOURCE,
            entry__purpose=posting.SETTLEMENT_PURPOSE,
            account_id=accounts.REFUNDS_PAYABLE,
        )
        .values_list("entry__order_id")
        .annotate(sum=Sum("debit"))
        .order_by()
        .values_list("entry__order_id", "sum")
    ):
        prepaid[order_id] += amount
        payable[order_id] -= amount
    parts = RefundLine.objects.filter(refund=OuterRef("pk")).order_by().values("refund")

    def part(column: str) -> Coalesce:
        total = parts.annotate(sum=Sum(column)).values("sum")
        return Coalesce(Subquery(total, output_field=IntegerField()), 0)

    for refund in (
        Refund.objects.filter(order__in=orders)
        .annotate(
            moved=_posted_transaction(IS_REFUND, "stripe_id", until),
            came_back=_posted_transaction(IS_REFUND_FAILURE, "stripe_id", until),
            prepaid=part("prepaid"),
            recognised=part("recognised"),
            payable=part("payable"),
        )
        .order_by("pk")
        .iterator(ROWS_AT_ONCE)
    ):
        if str(refund.pk) in owed_without_money:
            prepaid[refund.order_id] -= refund.prepaid
            payable[refund.order_id] += refund.prepaid + refund.recognised
            if refund.moved:
                payable[refund.order_id] -= refund.amount
        elif refund.moved:
            prepaid[refund.order_id] -= refund.prepaid
            payable[refund.order_id] -= refund.payable
        if refund.came_back:
            payable[refund.order_id] += refund.amount
    return prepaid, payable


def shipped_orders(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that nothing of a shipped order is left in 2130: what was not refunded was recognised."""
    recognised = (
        JournalLine.objects.filter(
            entry__order=OuterRef("pk"),
            entry__source_type=posting.SHIPMENT_SOURCE,
            account_id=accounts.PREPAYMENTS,
        )
        .order_by()
        .values("entry__order")
        .annotate(sum=Sum("debit"))
        .values("sum")
    )
    refunded = (
        RefundLine.objects.filter(
            refund__order=OuterRef("pk"), refund__withdrawn=False, tax_rate__isnull=False
        )
        .order_by()
        .values("refund__order")
        .annotate(sum=Sum("prepaid"))
        .values("sum")
    )
    shipped = (
        orders.filter(status=OrderStatus.SHIPPED)
        .annotate(
            recognised=Coalesce(Subquery(recognised, output_field=IntegerField()), 0),
            refunded=Coalesce(Subquery(refunded, output_field=IntegerField()), 0),
        )
        .exclude(total=F("recognised") + F("refunded"))
        # what a withdrawn refund gave back waits for a person
        .exclude(total__gt=F("recognised") + F("refunded"), refunds__withdrawn=True)
    )
    for order in shipped.order_by("pk"):
        yield Finding(
            Check.SHIPPED_PREPAYMENT,
            "Order",
            order.number,
            f"{order.total - order.refunded} recognised",
            f"{order.recognised} recognised",
        )


def paid_orders(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that each paid order has a payment of its total."""
    for order in orders.filter(paid_at__isnull=False).exclude(
        Exists(Payment.objects.filter(order=OuterRef("pk"), amount=OuterRef("total")))
    ):
        yield Finding(Check.PAID_ORDER, "Order", order.number, f"a payment of {order.total}", "none")


def refunded_payments(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that no payment was refunded beyond its amount."""
    failed = Q(refunds__status__in=Refund.FAILED_STATUSES)
    for payment in (
        Payment.objects.filter(order__in=orders)
        .annotate(refunded=Coalesce(Sum("refunds__amount", filter=~failed), 0))
        .filter(refunded__gt=F("amount"))
    ):
        yield Finding(
            Check.REFUNDED_PAYMENT,
            "Payment",
            payment.payment_intent,
            f"at most {payment.amount}",
            str(payment.refunded),
        )


def refund_parts(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that the lines of each refund add up to its amount."""
    for refund in (
        Refund.objects.filter(order__in=orders)
        .annotate(parts=Coalesce(Sum(F("lines__prepaid") + F("lines__recognised") + F("lines__payable")), 0))
        .exclude(parts=F("amount"))
    ):
        yield Finding(Check.REFUND_PARTS, "Refund", str(refund), str(refund.amount), str(refund.parts))


def shipped_pieces(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that the shipped pieces of each line are the pieces in its parcels."""
    for line in (
        OrderLine.objects.filter(order__in=orders)
        .annotate(parcels=Coalesce(Sum("shipment_lines__quantity"), 0))
        .exclude(parcels=F("shipped"))
        .select_related("order")
    ):
        yield Finding(
            Check.SHIPPED_PIECES,
            "OrderLine",
            f"{line.pk} ({line.order.number} {line.sku})",
            f"{line.parcels} in parcels",
            f"{line.shipped} shipped",
        )


def parcel_entries(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that each parcel has its entry, unless it is a gift or refunds had left nothing to recognise."""
    entries = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT_SOURCE,
        source_id=Cast(OuterRef("pk"), CharField(max_length=20)),
        purpose=posting.RECOGNITION_PURPOSE,
    )
    unposted = Shipment.objects.filter(order__in=orders, gift="").exclude(Exists(entries)).order_by("pk")
    for shipment in unposted.select_related("order").prefetch_related("lines__order_line"):
        buckets = tax_buckets(shipment.order)  # four queries for each; such parcels are rare
        for part in shipment.lines.all():
            line = part.order_line
            if buckets[line.tax_rate].prepaid_left and value_of_pieces(
                line.total, line.quantity, 0, part.quantity
            ):
                yield Finding(
                    Check.PARCEL_ENTRY, "Shipment", f"{shipment.pk} ({shipment.order.number})", "one", "none"
                )
                break


def unpaid_refund_entries(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check the entry of each refund that failed before Stripe knew it, or waits for the customer."""
    entries = JournalEntry.objects.filter(
        source_type=posting.REFUND_SOURCE,
        source_id=Cast(OuterRef("pk"), CharField(max_length=20)),
        purpose__in=posting.UNPAID_REFUND_PURPOSES,
    )
    for refund in (
        Refund.objects.filter(
            Q(stripe_id=None, status__in=Refund.FAILED_STATUSES) | Q(status=Refund.Status.REQUIRES_ACTION),
            order__in=orders,
        )
        .exclude(_posted_transaction(IS_REFUND, "stripe_id", None))
        .annotate(fresh=Coalesce(Sum(F("lines__prepaid") + F("lines__recognised")), 0))
        .filter(fresh__gt=0)
        .exclude(Exists(entries))
        .order_by("pk")
    ):
        yield Finding(Check.UNPAID_REFUND_ENTRY, "Refund", str(refund.pk), f"{refund.fresh} owed", "none")
