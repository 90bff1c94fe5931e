"""The figures of a day's report: receipts, parcels, sales and returns, Stripe's transactions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat

from kikaku.days import day_bounds
from kikaku.money import REDUCED, TAX_CLASSES
from ledger.books import accounts, posting
from ledger.books.balance_postings import CHARGE_TYPES
from ledger.books.tax import SHIPPING_CLASS
from ledger.books.trial_balance import NOTHING, Sides
from ledger.models import (
    BalanceTransaction,
    JournalEntry,
    JournalLine,
    Order,
    OrderEvent,
    Payment,
    ShipmentLine,
)
from ledger.models.books import LineTaxClass

Counted = dict[str, int]  # count, and total in JPY

# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────────────

# what a payment meant for its order: the first is the one that the order became paid by
PAID, UNKNOWN = "paid", "unknown"
REASONS = (
    PAID,
    OrderEvent.Kind.PAID_OTHER_AMOUNT,
    OrderEvent.Kind.PAID_AFTER_CANCELLATION,
    OrderEvent.Kind.PAID_TWICE,
    UNKNOWN,
)


def orders(day: date) -> dict[str, Counted]:
    """Return the number and total of the orders placed, paid and cancelled. One query."""
    start, end = day_bounds(day)
    within = {
        name: Q(**{f"{field}__gte": start, f"{field}__lt": end})
        for name, field in (("placed", "placed_at"), ("paid", "paid_at"), ("cancelled", "cancelled_at"))
    }
    sums: dict[str, Any] = {}
    for name, condition in within.items():
        sums[f"{name}_count"] = Count("pk", filter=condition)
        sums[f"{name}_total"] = Sum("total", filter=condition)
    counted = Order.objects.filter(within["placed"] | within["paid"] | within["cancelled"]).aggregate(**sums)
    return {
        name: {"count": counted[f"{name}_count"], "total": counted[f"{name}_total"] or 0} for name in within
    }


def receipts(day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the payments captured within the day by what they meant for their orders, and by method.

    Number and sum (JPY) of each; one query. Both lists have the same sums. What was paid beyond the total of
    an order that became paid is of another amount.
    """
    start, end = day_bounds(day)
    event = OrderEvent.objects.filter(
        order=OuterRef("order"),
        kind__in=REASONS,
        fact=Concat(Value("payment:"), OuterRef("payment_intent"), output_field=CharField()),
    )
    # a payment without history is older than the history, or a copy
    is_of_order = When(amount__gte=F("order__total"), captured_at=F("order__paid_at"), then=Value(PAID))
    reason = Coalesce(
        Subquery(event.values("kind")[:1]),
        Case(is_of_order, default=Value(UNKNOWN)),
        output_field=CharField(),
    )
    by_reason: defaultdict[str, Counted] = defaultdict(lambda: {"count": 0, "total": 0})
    by_method: defaultdict[str, Counted] = defaultdict(lambda: {"count": 0, "total": 0})
    for method, found, count, total, of_orders in (
        Payment.objects.filter(captured_at__gte=start, captured_at__lt=end)
        .annotate(reason=reason)
        .values_list("method", "reason")
        .annotate(count=Count("pk"), total=Sum("amount"), of_orders=Sum("order__total"))
        .order_by()
        .values_list("method", "reason", "count", "total", "of_orders")
    ):
        for group in (by_reason[found], by_method[method]):
            group["count"] += count
            group["total"] += total
        if found == PAID and total > of_orders:
            by_reason[PAID]["total"] -= total - of_orders
            by_reason[OrderEvent.Kind.PAID_OTHER_AMOUNT]["total"] += total - of_orders
    return (
        [{"reason": each, **by_reason[each]} for each in REASONS if each in by_reason],
        [{"method": method, **by_method[method]} for method in sorted(by_method)],
    )


# ── Stripe's balance ─────────────────────────────────────────────────────────────────────────────────────


def stripe(day: date) -> dict[str, Any]:
    """Return the sums of the day's transactions of the balance of payments by type. One query.

    `not_ours` are the sales among them that no payment of ours knows.
    """
    is_known = Exists(Payment.objects.filter(charge=OuterRef("source")))
    names = ("count", "amount", "fee", "fee_tax", "net")
    types: defaultdict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
    not_ours = {"count": 0, "total": 0}
    for kind, known, *sums in (
        BalanceTransaction.objects.filter(day=day, other_balance__isnull=True)
        .annotate(known=is_known)
        .values_list("type", "known")
        .annotate(
            number=Count("pk"), gross=Sum("amount"), fees=Sum("fee"), taxes=Sum("fee_tax"), nets=Sum("net")
        )
        .order_by()
        .values_list("type", "known", "number", "gross", "fees", "taxes", "nets")
    ):
        for name, value in zip(names, sums, strict=True):
            types[kind][name] += value
        if kind in CHARGE_TYPES and not known:
            not_ours["count"] += sums[0]
            not_ours["total"] += sums[1]
    return {
        "types": [{"type": kind, **types[kind]} for kind in sorted(types)],
        "net": sum(row["net"] for row in types.values()),
        "sales": {
            "count": sum(types[kind]["count"] for kind in CHARGE_TYPES & types.keys()),
            "total": sum(types[kind]["amount"] for kind in CHARGE_TYPES & types.keys()),
        },
        "not_ours": not_ours,
    }


# ── Parcels and sales ────────────────────────────────────────────────────────────────────────────────────


def parcels(day: date) -> dict[str, Counted]:
    """Return parcels and pieces: those whose sale is posted on the day, and the free ones of the day.

    One query. A free parcel is a gift, or has no sale: its goods were refunded before.
    """
    start, end = day_bounds(day)
    entries = JournalEntry.objects.filter(
        source_type=posting.SHIPMENT_SOURCE, purpose=posting.RECOGNITION_PURPOSE
    )
    entry = entries.filter(source_id=Cast(OuterRef("shipment"), CharField()))
    of_orders = entries.filter(day=day, order__isnull=False).values("order")
    sold = ShipmentLine.objects.filter(
        Exists(entry.filter(day=day)), shipment__order__in=of_orders, shipment__gift=""
    )
    free = ShipmentLine.objects.filter(
        ~Q(shipment__gift="") | ~Exists(entry), shipment__shipped_at__gte=start, shipment__shipped_at__lt=end
    )

    def counted(rows: QuerySet[ShipmentLine], name: str) -> QuerySet[Any, Any]:
        grouped = rows.order_by().values(kind=Value(name, CharField()))
        sums = grouped.annotate(parcels=Count("shipment", distinct=True), pieces=Sum("quantity"))
        return sums.values_list("kind", "parcels", "pieces")

    found = {
        kind: (count, pieces or 0)
        for kind, count, pieces in counted(sold, "sold").union(counted(free, "free"), all=True)
    }
    return {
        kind: dict(zip(("parcels", "pieces"), found.get(kind, (0, 0)), strict=True))
        for kind in ("sold", "free")
    }


@dataclass(frozen=True)
class Movement:
    """What the lines of one kind moved in an account on a day (JPY)."""

    source: str  # `JournalEntry.source_type`
    account: str
    tax_class: str | None
    tax_rate: int | None
    debit: int
    credit: int
    tax: int  # beside the lines, credit − debit

    @property
    def amount(self) -> int:
        """Credit − debit."""
        return self.credit - self.debit


def movements(day: date) -> list[Movement]:
    """Return what moved on a day by source, account, tax class and rate. One query."""
    beside = {side: Coalesce(Sum("tax", filter=Q(**{f"{side}__gt": 0})), 0) for side in ("debit", "credit")}
    rows = (
        JournalLine.objects.filter(entry__day=day)
        .values_list("entry__source_type", "account_id", "tax_class", "tax_rate")
        .annotate(debits=Sum("debit"), credits=Sum("credit"), tax=beside["credit"] - beside["debit"])
        .order_by()
        .values_list("entry__source_type", "account_id", "tax_class", "tax_rate", "debits", "credits", "tax")
    )
    return [Movement(*row) for row in rows]


def moved(day_movements: Iterable[Movement], account: str) -> int:
    """Return debit − credit of an account."""
    return -sum(each.amount for each in day_movements if each.account == account)


def shipped_total(day_movements: Iterable[Movement]) -> int:
    """Return what the parcels took out of the prepayments: their value, tax included (JPY)."""
    return moved(
        (each for each in day_movements if each.source == posting.SHIPMENT_SOURCE), accounts.PREPAYMENTS
    )


CLASS_OF_SALES = {account: tax_class for tax_class, account in accounts.SALES_ACCOUNTS.items()}
CLASS_OF_RETURNS = {account: tax_class for tax_class, account in accounts.RETURNS_ACCOUNTS.items()}
CLASS_OF_TAX = {account: tax_class for tax_class, account in accounts.OUTPUT_TAX_ACCOUNTS.items()}
REDUCED_LINES = (LineTaxClass.SALE_REDUCED, LineTaxClass.RETURN_REDUCED)
# items of a row
GOODS, SHIPPING, TOGETHER, RETURNS = "goods", "shipping", "goods_and_shipping", "returns"
ITEMS = (GOODS, SHIPPING, TOGETHER, RETURNS)

RowKey = tuple[str, int, str]  # tax class, percent (−1: exempt), item


def sales(day_movements: Iterable[Movement]) -> list[dict[str, Any]]:
    """Return sales and returns by tax class, rate and item: net of tax, the tax, and both (JPY).

    The rate is None where no tax was charged. Entries of form 1 do not tell the tax of the goods from that of
    the shipping fee: their item is both together.
    """
    found: defaultdict[RowKey, list[int]] = defaultdict(lambda: [0, 0])
    for each in day_movements:
        key = _row_of(each)
        if key is None:
            continue
        sign = -1 if key[2] == RETURNS else 1
        is_tax = each.account in CLASS_OF_TAX
        found[key][0] += 0 if is_tax else sign * each.amount
        found[key][1] += sign * (each.amount if is_tax and each.tax_class is None else each.tax)
    order = {
        (tax_class, item): place
        for place, (tax_class, item) in enumerate(
            (tax_class, item) for tax_class in TAX_CLASSES for item in ITEMS
        )
    }
    return [
        {
            "class": tax_class,
            "rate": None if rate < 0 else rate,
            "item": item,
            "net": net,
            "tax": tax,
            "gross": net + tax,
        }
        for (tax_class, rate, item), (net, tax) in sorted(
            found.items(), key=lambda row: (order[row[0][0], row[0][2]], -row[0][1])
        )
        if net or tax
    ]


def _row_of(each: Movement) -> RowKey | None:
    """Return the row that a movement belongs to; None for one of another account."""
    is_form_1 = each.tax_class is None
    account = each.account
    if account in CLASS_OF_SALES:
        tax_class, item = CLASS_OF_SALES[account], TOGETHER if is_form_1 else GOODS
    elif account == accounts.SHIPPING_INCOME:
        tax_class = REDUCED if each.tax_class in REDUCED_LINES else SHIPPING_CLASS
        item = TOGETHER if is_form_1 else SHIPPING
    elif account in CLASS_OF_RETURNS:
        tax_class, item = CLASS_OF_RETURNS[account], RETURNS
    elif account in CLASS_OF_TAX and (is_form_1 or each.tax):  # or a tax that no line beside it could carry
        tax_class = CLASS_OF_TAX[account]
        sold = TOGETHER if is_form_1 else GOODS
        item = sold if each.source == posting.SHIPMENT_SOURCE else RETURNS
    else:
        return None
    if each.tax_class == LineTaxClass.OUTSIDE:  # sold, or returned, by an exempt merchant
        return tax_class, -1, item
    rate = accounts.RATES_OF_FORM_1[tax_class] if is_form_1 else each.tax_rate
    return tax_class, -1 if rate is None else rate, item


NET_SALES = (*accounts.SALES_ACCOUNTS.values(), accounts.SHIPPING_INCOME, *accounts.RETURNS_ACCOUNTS.values())


def net_sales(before: Mapping[str, Sides], after: Mapping[str, Sides]) -> Counted:
    """Return sales less returns between two days: net of tax, the tax, and both (JPY)."""

    def change(codes: Sequence[str]) -> int:
        return -sum(after.get(code, NOTHING).net - before.get(code, NOTHING).net for code in codes)

    net, tax = change(NET_SALES), change(tuple(CLASS_OF_TAX))
    return {"net": net, "tax": tax, "gross": net + tax}
