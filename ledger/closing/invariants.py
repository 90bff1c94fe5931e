"""What must always hold in the books. Each check looks and returns findings; none changes anything.

The close runs them over what a day touched, `verify_books` over everything. Sums are made in SQL, grouped, so that a
check takes a few queries whatever the number of rows.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from django.db.models import (
    CharField,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    Min,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
)
from django.db.models.functions import Cast, Coalesce

from kikaku.days import business_day, day_bounds
from ledger.books import accounts, posting
from ledger.books.balance_postings import IS_CHARGE, IS_REFUND, IS_REFUND_FAILURE
from ledger.books.order_buckets import tax_buckets
from ledger.books.tax import RATES, SHIPPING_RATE, tax_of, value_of_pieces
from ledger.books.trial_balance import account_balances
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
    StockItem,
    StockMovement,
)
from ledger.models.orders import OrderStatus

AT_ONCE = 2000  # rows of a portion: memory stays bounded by it, and so does the length of a query


Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: which check, which row, what it should be and what it is."""

    check: str
    table: str
    object_id: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.check}: {self.table} {self.object_id}: expected {self.expected}, found {self.found}"


def check_day(day: date) -> list[Finding]:
    """Check the book as a whole at the end of `day`, and everything that the day touched."""
    findings = list(trial_balance(day))
    start, end = day_bounds(day)
    for entries in _portions(JournalEntry.objects.filter(day=day)):
        findings += unbalanced_entries(entries)
        findings += stripe_entries(entries)
        findings += entry_days(entries.exclude(occurred_at__gte=start, occurred_at__lt=end))
    findings += unposted_transactions(BalanceTransaction.objects.filter(day=day))
    for orders in touched_orders(day):
        findings += order_balances(orders, until=day)
        findings += shipped_orders(orders)
    return findings


def check_everything() -> Iterator[Finding]:
    """Check every row of the books, in portions."""
    yield from trial_balance(None)
    for entries in _portions(JournalEntry.objects.all()):
        yield from unbalanced_entries(entries)
        yield from stripe_entries(entries)
        yield from entry_days(entries)
    yield from unposted_transactions(BalanceTransaction.objects.all())
    for orders in _portions(Order.objects.all()):
        yield from order_totals(orders)
        yield from order_balances(orders, until=None)
        yield from shipped_orders(orders)
        yield from paid_orders(orders)
        yield from order_pieces(orders)
        yield from posted_parcels(orders)
        yield from posted_failures(orders)
    yield from stock()


def _portions(rows: QuerySet[Row]) -> Iterator[QuerySet[Row]]:
    """Cut rows into ranges of their keys."""
    bounds = rows.aggregate(first=Min("pk"), last=Max("pk"))
    if bounds["first"] is not None:
        for start in range(bounds["first"], bounds["last"] + 1, AT_ONCE):
            yield rows.filter(pk__gte=start, pk__lt=start + AT_ONCE)


def touched_orders(day: date) -> Iterator[QuerySet[Order]]:
    """Give the orders that entries of a day belong to, in portions that do not depend on how old they are."""
    entries = JournalEntry.objects.filter(day=day, order__isnull=False)
    touched = list(entries.order_by("order_id").values_list("order_id", flat=True).distinct())
    for start in range(0, len(touched), AT_ONCE):
        portion = touched[start : start + AT_ONCE]
        of_portion = entries.filter(order_id__gte=portion[0], order_id__lte=portion[-1])
        yield Order.objects.filter(pk__in=of_portion.values("order_id"))


# ── Entries ──────────────────────────────────────────────────────────────────────────────────────────────


def trial_balance(until: date | None) -> Iterator[Finding]:
    """All debits equal all credits: at the end of a day as it was carried forward, else over every line."""
    if until is None:
        sums = JournalLine.objects.aggregate(
            debit=Coalesce(Sum("debit"), 0), credit=Coalesce(Sum("credit"), 0)
        )
        debit, credit = sums["debit"], sums["credit"]
    else:
        balances = account_balances(until).values()
        debit, credit = (
            sum(balance.debit for balance in balances),
            sum(balance.credit for balance in balances),
        )
    if debit != credit:
        yield Finding("trial balance", "JournalLine", "all", f"debit {credit}", f"debit {debit}")


def unbalanced_entries(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """Each entry has two lines or more, and equal sides."""
    wrong = (
        entries.annotate(
            debit=Coalesce(Sum("lines__debit"), 0),
            credit=Coalesce(Sum("lines__credit"), 0),
            count=Count("lines"),
        )
        .exclude(debit=F("credit"), count__gte=2)
        .order_by("pk")
    )
    for entry in wrong:
        yield Finding(
            "entry balanced",
            "JournalEntry",
            f"{entry.pk} ({entry.source_type} {entry.source_id} {entry.purpose})",
            "two lines or more, debit = credit",
            f"{entry.count} lines, debit {entry.debit}, credit {entry.credit}",
        )


def stripe_entries(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """Account 1150 moves by balance transactions only, and an entry of one has its net, its fee and fee tax."""
    for entry_id, source in (
        JournalLine.objects.filter(entry__in=entries, account_id=accounts.STRIPE_BALANCE)
        .exclude(entry__source_type=posting.BALANCE_TRANSACTION_SOURCE)
        .values_list("entry_id", "entry__source_type")
    ):
        yield Finding(
            "1150 by balance transactions only", "JournalEntry", str(entry_id), "balance_transaction", source
        )
    of_stripe = entries.filter(source_type=posting.BALANCE_TRANSACTION_SOURCE)
    posted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for source_id, account, debit, credit in (
        JournalLine.objects.filter(entry__in=of_stripe)
        .values_list("entry__source_id", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__source_id", "account_id", "debits", "credits")
    ):
        posted[source_id][account] = debit - credit
    for txn_id, amount, fee, fee_tax, net in (
        BalanceTransaction.objects.filter(pk__in=of_stripe.values("source_id"))
        .order_by("pk")
        .values_list("pk", "amount", "fee", "fee_tax", "net")
    ):
        lines = posted.pop(txn_id, {})
        fees = lines.get(accounts.FEES_EXEMPT, 0) + lines.get(accounts.FEES_TAXABLE, 0)
        found = (lines.get(accounts.STRIPE_BALANCE, 0), fees, lines.get(accounts.INPUT_TAX, 0))
        expected = (net, fee - fee_tax, fee_tax)
        if net != amount - fee:
            yield Finding("net of a transaction", "BalanceTransaction", txn_id, str(amount - fee), str(net))
        if found != expected:
            yield Finding(
                "entry of a transaction",
                "BalanceTransaction",
                txn_id,
                "1150 {}, fee {}, fee tax {}".format(*expected),
                "1150 {}, fee {}, fee tax {}".format(*found) if lines else "no entry",
            )
    for source_id in posted:
        yield Finding(
            "entry of a transaction", "JournalEntry", source_id, "a stored balance transaction", "none"
        )


def unposted_transactions(transactions: QuerySet[BalanceTransaction]) -> Iterator[Finding]:
    """A balance transaction that moved money has its entry."""
    entries = JournalEntry.objects.filter(
        source_type=posting.BALANCE_TRANSACTION_SOURCE, source_id=OuterRef("pk")
    )
    silent = transactions.exclude(amount=0, fee=0).exclude(Exists(entries))
    for txn in silent.order_by("created", "pk"):
        yield Finding(
            "entry of a transaction",
            "BalanceTransaction",
            txn.pk,
            f"1150 {txn.net}, fee {txn.fee - txn.fee_tax}, fee tax {txn.fee_tax}",
            "no entry",
        )


def entry_days(entries: QuerySet[JournalEntry]) -> Iterator[Finding]:
    """An entry stands on the business day of its fact, or on a later one when it came late; never before."""
    for pk, day, occurred_at in entries.order_by().values_list("pk", "day", "occurred_at"):
        if day < business_day(occurred_at):
            yield Finding(
                "day of an entry", "JournalEntry", str(pk), f"{business_day(occurred_at)} or later", str(day)
            )


# ── Orders ───────────────────────────────────────────────────────────────────────────────────────────────


def order_totals(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Lines, shipping and discount add up to what was charged; tax is rounded once per rate."""
    gross: defaultdict[int, dict[int, int]] = defaultdict(lambda: dict.fromkeys(RATES, 0))
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
    for order in orders.order_by("pk").iterator(2000):
        by_rate = gross[order.pk]
        by_rate[SHIPPING_RATE] += order.shipping_fee
        expected = (
            sum(by_rate.values()),
            discounts[order.pk],
            tax_of(by_rate[10], 10),
            tax_of(by_rate[8], 8),
        )
        found = (order.total, order.discount, order.tax_10, order.tax_8)
        if expected != found:
            yield Finding(
                "order adds up",
                "Order",
                order.number,
                "total {}, discount {}, tax {} and {}".format(*expected),
                "total {}, discount {}, tax {} and {}".format(*found),
            )


def order_balances(orders: QuerySet[Order], *, until: date | None) -> Iterator[Finding]:
    """The sub-ledgers of 2130 and 2120 equal payments, parcels and refunds; tax per rate stays within bounds."""
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
    later = _changed_after(orders, until)
    numbers = dict(orders.order_by("pk").values_list("pk", "number"))
    for order_id in sorted(booked.keys() | prepaid.keys() | payable.keys()):
        lines = booked[order_id]
        yield from _order_findings(
            numbers[order_id],
            lines,
            prepaid=prepaid[order_id] + lines[True, accounts.PREPAYMENTS],
            payable=payable[order_id],
            later={
                account: later.get((order_id, account), 0) for account in accounts.CUSTOMER_LIABILITY_ACCOUNTS
            },
        )


def _changed_after(orders: QuerySet[Order], until: date | None) -> dict[tuple[int, str], int]:
    """Give what entries after the cut changed 2130 and 2120 by, per order.

    A refund in Stripe's dashboard may take before midnight what was promised to one of ours, which Stripe refuses after
    it: one of the two accounts is below zero at the cut, and made good on the day after.
    """
    if until is None:
        return {}
    later = JournalLine.objects.filter(
        entry__order__in=orders,
        entry__day__gt=until,
        account_id__in=accounts.CUSTOMER_LIABILITY_ACCOUNTS,
    )
    return {
        (order_id, account): credit - debit
        for order_id, account, debit, credit in later.values_list("entry__order_id", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__order_id", "account_id", "debits", "credits")
    }


def _order_findings(
    number: str,
    lines: defaultdict[tuple[bool, str], int],
    *,
    prepaid: int,
    payable: int,
    later: Mapping[str, int],
) -> Iterator[Finding]:
    for account, expected in zip(accounts.CUSTOMER_LIABILITY_ACCOUNTS, (prepaid, payable), strict=True):
        found = lines[True, account] + lines[False, account]
        if found != expected or max(found, found + later[account]) < 0:
            yield Finding(
                f"sub-ledger of {account}", "Order", number, f"{max(expected, 0)} owed", f"{found} owed"
            )
    for rate in RATES:
        tax = lines[True, accounts.OUTPUT_TAX_ACCOUNTS[rate]]
        shipping = lines[True, accounts.SHIPPING_INCOME] if rate == SHIPPING_RATE else 0
        gross = lines[True, accounts.SALES_ACCOUNTS[rate]] + shipping + tax
        reversed_tax = -lines[False, accounts.OUTPUT_TAX_ACCOUNTS[rate]]
        reversed_gross = -lines[False, accounts.RETURNS_ACCOUNTS[rate]] + reversed_tax
        if tax != tax_of(max(gross, 0), rate):
            yield Finding(f"tax {rate}% posted", "Order", number, str(tax_of(max(gross, 0), rate)), str(tax))
        if reversed_tax != tax_of(max(reversed_gross, 0), rate) or not 0 <= reversed_tax <= tax:
            yield Finding(
                f"tax {rate}% reversed",
                "Order",
                number,
                f"{tax_of(max(reversed_gross, 0), rate)}, within 0 and {tax}",
                str(reversed_tax),
            )


def _until(cut: date | None) -> Q:
    """Select the entries that count towards a balance at the cut."""
    return Q() if cut is None else Q(day__lte=cut)


def _posted_transaction(which: Q, source: str, until: date | None) -> Exists:
    """Tell in SQL whether such a balance transaction of the object in column `source` was posted by the cut."""
    entries = JournalEntry.objects.filter(
        source_type=posting.BALANCE_TRANSACTION_SOURCE, source_id=OuterRef("id")
    ).filter(_until(until))
    return Exists(BalanceTransaction.objects.filter(which, source=OuterRef(source)).filter(Exists(entries)))


def _expected(
    orders: QuerySet[Order], *, until: date | None
) -> tuple[defaultdict[int, int], defaultdict[int, int]]:
    """Give what payments and refunds leave in 2130 (before parcels) and in 2120, per order, from our rows."""
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
        ).values_list("source_id", flat=True)
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
        .iterator(2000)
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
    """A completely shipped order has nothing left in 2130: parcels recognised all that refunds did not take."""
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
        RefundLine.objects.filter(refund__order=OuterRef("pk"), tax_rate__isnull=False)
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
    )
    for order in shipped.order_by("pk"):
        yield Finding(
            "2130 of a shipped order",
            "Order",
            order.number,
            f"{order.total - order.refunded} recognised",
            f"{order.recognised} recognised",
        )


def paid_orders(orders: QuerySet[Order]) -> Iterator[Finding]:
    """An order that was paid has its payment, and no payment gave back more than it was."""
    for order in orders.filter(paid_at__isnull=False).exclude(
        Exists(Payment.objects.filter(order=OuterRef("pk"), amount=OuterRef("total")))
    ):
        yield Finding("paid order", "Order", order.number, f"a payment of {order.total}", "none")
    kept = Q(refunds__status__in=Refund.FAILED_STATUSES)
    for payment in (
        Payment.objects.filter(order__in=orders)
        .annotate(refunded=Coalesce(Sum("refunds__amount", filter=~kept), 0))
        .filter(refunded__gt=F("amount"))
    ):
        yield Finding(
            "captured ≥ refunded",
            "Payment",
            payment.payment_intent,
            f"at most {payment.amount}",
            str(payment.refunded),
        )
    for refund in (
        Refund.objects.filter(order__in=orders)
        .annotate(parts=Coalesce(Sum(F("lines__prepaid") + F("lines__recognised") + F("lines__payable")), 0))
        .exclude(parts=F("amount"))
    ):
        yield Finding("parts of a refund", "Refund", str(refund), str(refund.amount), str(refund.parts))


def order_pieces(orders: QuerySet[Order]) -> Iterator[Finding]:
    """What a line counts as shipped is what lies in its parcels."""
    for line in (
        OrderLine.objects.filter(order__in=orders)
        .annotate(parcels=Coalesce(Sum("shipment_lines__quantity"), 0))
        .exclude(parcels=F("shipped"))
        .select_related("order")
    ):
        yield Finding(
            "shipped pieces",
            "OrderLine",
            f"{line.pk} ({line.order.number} {line.sku})",
            f"{line.parcels} in parcels",
            f"{line.shipped} shipped",
        )


def posted_parcels(orders: QuerySet[Order]) -> Iterator[Finding]:
    """Each parcel has its entry, unless refunds had left nothing of its tax buckets to recognise."""
    entries = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT_SOURCE,
        source_id=Cast(OuterRef("pk"), CharField(max_length=20)),
        purpose=posting.RECOGNITION_PURPOSE,
    )
    silent = Shipment.objects.filter(order__in=orders).exclude(Exists(entries)).order_by("pk")
    for shipment in silent.select_related("order").prefetch_related("lines__order_line"):
        state = tax_buckets(shipment.order)  # few parcels are worth nothing: four queries for each
        for part in shipment.lines.all():
            line = part.order_line
            if state[line.tax_rate].prepaid_left and value_of_pieces(
                line.total, line.quantity, 0, part.quantity
            ):
                yield Finding(
                    "entry of a parcel", "Shipment", f"{shipment.pk} ({shipment.order.number})", "one", "none"
                )
                break


def posted_failures(orders: QuerySet[Order]) -> Iterator[Finding]:
    """A refund that ended badly before it reached Stripe, or waits for the customer, is owed: its entry says so."""
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
        yield Finding("entry of an unpaid refund", "Refund", str(refund.pk), f"{refund.fresh} owed", "none")


# ── Stock ────────────────────────────────────────────────────────────────────────────────────────────────


def stock() -> Iterator[Finding]:
    """On hand is the sum of the movements, reserved the sum of what order lines hold."""
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
            "stock",
            "StockItem",
            item.sku,
            f"on hand {item.moved}, reserved {item.held}",
            f"on hand {item.on_hand}, reserved {item.reserved}",
        )
