"""Checks of the orders: their sums, their sub-ledgers and tax, their payments, refunds and parcels."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from django.db.models import CharField, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Cast, Coalesce

from kikaku.money import REDUCED, STANDARD, TAX_CLASSES
from ledger.books import accounts, posting
from ledger.books.balance_postings import IS_CHARGE, IS_REFUND, IS_REFUND_FAILURE
from ledger.books.order_buckets import CLASS_OF_ACCOUNT, IN_BUCKETS, OUTPUT_TAX, tax_buckets
from ledger.books.tax import SHIPPING_CLASS, tax_of, value_of_pieces
from ledger.closing.findings import Check, Finding
from ledger.models import (
    BalanceTransaction,
    JournalEntry,
    JournalLine,
    KeptMoney,
    KeptMoneyLine,
    Order,
    OrderLine,
    Payment,
    Refund,
    RefundLine,
    Shipment,
)
from ledger.models.books import LineTaxClass
from ledger.models.orders import OrderStatus

SUB_LEDGER_CHECKS = {
    accounts.PREPAYMENTS: Check.PREPAYMENTS,
    accounts.REFUNDS_PAYABLE: Check.REFUNDS_PAYABLE,
}
TAX_POSTED_CHECKS = {STANDARD: Check.TAX_STANDARD_POSTED, REDUCED: Check.TAX_REDUCED_POSTED}
TAX_REVERSED_CHECKS = {STANDARD: Check.TAX_STANDARD_REVERSED, REDUCED: Check.TAX_REDUCED_REVERSED}
ROWS_AT_ONCE = 2000  # read from the database at once


def order_totals(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that lines, shipping and discount add up to the total, and that tax is rounded once per class."""
    gross: defaultdict[int, dict[str, int]] = defaultdict(lambda: dict.fromkeys(TAX_CLASSES, 0))
    discounts: defaultdict[int, int] = defaultdict(int)
    for order_id, tax_class, total, discount in (
        OrderLine.objects.filter(order__in=orders)
        .values_list("order_id", "tax_class")
        .annotate(total_sum=Sum("total"), discount_sum=Sum("discount"))
        .order_by()
        .values_list("order_id", "tax_class", "total_sum", "discount_sum")
    ):
        gross[order_id][tax_class] += total
        discounts[order_id] += discount
    for order in orders.order_by("pk").iterator(ROWS_AT_ONCE):
        by_class = gross[order.pk]
        by_class[SHIPPING_CLASS] += order.shipping_fee
        expected = (
            sum(by_class.values()),
            discounts[order.pk],
            *(tax_of(by_class[each], order.tax_rates[each], order.tax_rounding) for each in TAX_CLASSES),
        )
        found = (order.total, order.discount, *(order.taxes[each] for each in TAX_CLASSES))
        if expected != found:
            yield Finding(
                Check.ORDER_TOTAL,
                "Order",
                order.number,
                "total {}, discount {}, tax {} and {}".format(*expected),
                "total {}, discount {}, tax {} and {}".format(*found),
            )


@dataclass
class _Posted:
    """What is posted of an order, up to the cut (JPY)."""

    # credit − debit by (whether of parcels, account)
    accounts: defaultdict[tuple[bool, str], int] = field(default_factory=lambda: defaultdict(int))
    # by (whether of parcels, tax class, rate): the taxed gross amount of sales or returns, and its tax
    taxed: defaultdict[tuple[bool, str, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )


def order_balances(orders: QuerySet[Order], *, until: date | None) -> Iterator[Finding]:
    """Check that 2130 and 2120 of each order equal its payments, parcels and refunds, and its tax per rate.

    With `until`, only entries up to the end of that day count.
    """
    cut = Q() if until is None else Q(entry__day__lte=until)
    posted: defaultdict[int, _Posted] = defaultdict(_Posted)
    for order_id, source, account, line_class, rate, debit, credit in (
        JournalLine.objects.filter(cut, entry__order__in=orders)
        .values_list("entry__order_id", "entry__source_type", "account_id", "tax_class", "tax_rate")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list(
            "entry__order_id",
            "entry__source_type",
            "account_id",
            "tax_class",
            "tax_rate",
            "debits",
            "credits",
        )
    ):
        of_order, is_parcel = posted[order_id], source == posting.SHIPMENT_SOURCE
        of_order.accounts[is_parcel, account] += credit - debit
        if (key := _taxed_by(is_parcel, account, line_class, rate)) is not None:
            amount = credit - debit if is_parcel else debit - credit
            of_order.taxed[key][0] += amount
            of_order.taxed[key][1] += amount * (account in OUTPUT_TAX)
    prepaid, payable = _expected(orders, until=until)
    named = {
        pk: (number, rounding) for pk, number, rounding in orders.values_list("pk", "number", "tax_rounding")
    }
    across = _across_cut(orders, until, {pk: rounding for pk, (_number, rounding) in named.items()})
    for order_id in sorted(posted.keys() | prepaid.keys() | payable.keys()):
        of_order = posted[order_id]
        yield from _order_findings(
            *named[order_id],
            of_order,
            prepaid=prepaid[order_id] + of_order.accounts[True, accounts.PREPAYMENTS],
            payable=payable[order_id],
            across=across.get(order_id, _AcrossCut()),
        )


def _taxed_by(
    is_parcel: bool, account: str, line_class: str | None, rate: int | None
) -> tuple[bool, str, int] | None:
    """Return what the tax of a line is rounded with: parcels or refunds, tax class, rate. None: no tax."""
    tax_class = CLASS_OF_ACCOUNT.get(account)
    if tax_class is None or line_class == LineTaxClass.OUTSIDE:
        return None
    rate = accounts.RATES_OF_FORM_1[tax_class] if line_class is None else rate
    return None if rate is None else (is_parcel, tax_class, rate)


@dataclass
class _AcrossCut:
    """What an order with entries after the cut needs to be judged by those before it (JPY)."""

    # by account, 2130 and 2120: how much the later entries change it. A refund in Stripe's dashboard may take
    # the money before midnight that one of our refunds was to pay out, and Stripe refuses ours after that:
    # one of the two accounts is below zero at the cut then, and not on the next day.
    later: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    # by what it is rounded with: the tax up to the cut. That of an entry is rounded over what was posted
    # before it, perhaps of a later day: Stripe reports a refund of yesterday after one of today was posted.
    taxes: defaultdict[tuple[bool, str, int], int] = field(default_factory=lambda: defaultdict(int))


def _across_cut(
    orders: QuerySet[Order], until: date | None, rounding: Mapping[int, str]
) -> defaultdict[int, _AcrossCut]:
    """Return by order what its entries before and after the cut tell, of orders that have some after it."""
    across: defaultdict[int, _AcrossCut] = defaultdict(_AcrossCut)
    if until is None:
        return across
    gross: defaultdict[tuple[int, tuple[bool, str, int]], int] = defaultdict(int)
    later = JournalEntry.objects.filter(order__in=orders, day__gt=until)
    for order_id, source, day, account, line_class, line_rate, debit, credit in (
        JournalLine.objects.filter(entry__order__in=later.values("order"))
        .order_by("entry_id")
        .values_list(
            "entry__order_id",
            "entry__source_type",
            "entry__day",
            "account_id",
            "tax_class",
            "tax_rate",
            "debit",
            "credit",
        )
    ):
        order = across[order_id]
        if day > until and account in accounts.CUSTOMER_LIABILITY_ACCOUNTS:
            order.later[account] += credit - debit
        is_parcel = source == posting.SHIPMENT_SOURCE
        key = _taxed_by(is_parcel, account, line_class, line_rate)
        if key is None:
            continue
        rate = key[2]
        before = tax_of(max(gross[order_id, key], 0), rate, rounding[order_id])
        gross[order_id, key] += credit - debit if is_parcel else debit - credit
        if day <= until:
            after = tax_of(max(gross[order_id, key], 0), rate, rounding[order_id])
            order.taxes[key] += after - before
    return across


def _order_findings(
    number: str,
    rounding: str,
    posted: _Posted,
    *,
    prepaid: int,
    payable: int,
    across: _AcrossCut,
) -> Iterator[Finding]:
    for account, expected in zip(accounts.CUSTOMER_LIABILITY_ACCOUNTS, (prepaid, payable), strict=True):
        found = posted.accounts[True, account] + posted.accounts[False, account]
        if found != expected or max(found, found + across.later[account]) < 0:
            yield Finding(
                SUB_LEDGER_CHECKS[account], "Order", number, f"{max(expected, 0)} owed", f"{found} owed"
            )
    for key, (gross, tax) in sorted(posted.taxed.items()):
        is_parcel, tax_class, rate = key
        expected = across.taxes.get(key, tax_of(max(gross, 0), rate, rounding))
        if is_parcel:
            if tax != expected:
                yield Finding(TAX_POSTED_CHECKS[tax_class], "Order", number, str(expected), str(tax))
            continue
        sold = posted.taxed[True, tax_class, rate][1]
        if tax != expected or not 0 <= tax <= sold:
            yield Finding(
                TAX_REVERSED_CHECKS[tax_class], "Order", number, f"{expected}, within 0 and {sold}", str(tax)
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
    """Return what payments, refunds and kept money leave in 2130 (before parcels) and in 2120, per order."""
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
    is_kept = Q(entry__source_type=posting.KEPT_MONEY_SOURCE)
    is_settled = Q(entry__source_type=posting.REFUND_SOURCE, entry__purpose=posting.SETTLEMENT_PURPOSE)
    for order_id, account, amount in (  # `sources` and `kept_money_entries` compare them with their rows
        JournalLine.objects.filter(
            is_kept | is_settled,
            Q() if until is None else Q(entry__day__lte=until),
            entry__order__in=orders,
            account_id__in=accounts.CUSTOMER_LIABILITY_ACCOUNTS,
        )
        .values_list("entry__order_id", "account_id")
        .annotate(sum=Sum(F("credit") - F("debit")))
        .order_by()
        .values_list("entry__order_id", "account_id", "sum")
    ):
        owed = prepaid if account == accounts.PREPAYMENTS else payable
        owed[order_id] += amount
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
    """Check that nothing of a shipped order is left in 2130: what was not refunded or kept was recognised."""
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
        RefundLine.objects.filter(IN_BUCKETS, refund__order=OuterRef("pk"), refund__withdrawn=False)
        .order_by()
        .values("refund__order")
        .annotate(sum=Sum("prepaid"))
        .values("sum")
    )
    kept = (
        KeptMoneyLine.objects.filter(IN_BUCKETS, kept__order=OuterRef("pk"))
        .order_by()
        .values("kept__order")
        .annotate(sum=Sum("prepaid"))
        .values("sum")
    )
    shipped = (
        orders.filter(status=OrderStatus.SHIPPED)
        .annotate(
            recognised=Coalesce(Subquery(recognised, output_field=IntegerField()), 0),
            refunded=Coalesce(Subquery(refunded, output_field=IntegerField()), 0)
            + Coalesce(Subquery(kept, output_field=IntegerField()), 0),
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
    """Check that each paid order has a payment of its total, or of more."""
    for order in orders.filter(paid_at__isnull=False).exclude(
        Exists(Payment.objects.filter(order=OuterRef("pk"), amount__gte=OuterRef("total")))
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
            if buckets[line.tax_class].prepaid_left and value_of_pieces(
                line.total, line.quantity, 0, part.quantity
            ):
                yield Finding(
                    Check.PARCEL_ENTRY, "Shipment", f"{shipment.pk} ({shipment.order.number})", "one", "none"
                )
                break


def kept_money_entries(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Check that kept money has its entry, and that its lines add up."""
    entries = JournalEntry.objects.filter(
        source_type=posting.KEPT_MONEY_SOURCE, source_id=Cast(OuterRef("pk"), CharField(max_length=20))
    )
    for kept in (
        KeptMoney.objects.filter(order__in=orders)
        .annotate(
            parts=Coalesce(Sum(F("lines__prepaid") + F("lines__payable")), 0), is_posted=Exists(entries)
        )
        .exclude(parts=F("amount"), is_posted=True)
        .order_by("pk")
    ):
        yield Finding(
            Check.KEPT_MONEY_ENTRY,
            "KeptMoney",
            str(kept.pk),
            f"one of {kept.amount}",
            f"one of {kept.parts}" if kept.is_posted else "none",
        )


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
