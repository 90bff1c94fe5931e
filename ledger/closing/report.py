"""The report of a closed day: what happened, what the accounts say, what does not add up.

It holds facts only and no wall clock, so the same facts give the same bytes.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.apps import apps
from django.db.models import Aggregate, CharField, Count, Q, QuerySet, Sum, Value
from django.template.loader import render_to_string
from django.utils.translation import override

from kikaku.days import day_bounds
from kikaku.money import TAX_CLASSES
from ledger.books import accounts, posting
from ledger.books.tax import SHIPPING_CLASS
from ledger.books.trial_balance import AccountBalance
from ledger.closing import checks
from ledger.closing.findings import Check, Finding
from ledger.closing.reconciliation import Difference
from ledger.models import (
    Account,
    BalanceTransaction,
    Discrepancy,
    JournalLine,
    Order,
    OrderEvent,
    Payment,
    ShipmentLine,
    StripeEvent,
)
from ledger.stripe.methods import method_named

REPORT_FORMAT = 2  # 1: "differences" counted tasks and notices, too; no row had a category
OLD_CATEGORY = Discrepancy.Category.DIFFERENCE  # of every row of format 1
COUNT_NAMES = {
    Discrepancy.Category.DIFFERENCE: "differences",
    Discrepancy.Category.TO_DO: "to_do",
    Discrepancy.Category.NOTICE: "notices",
}


def build(
    day: date,
    *,
    stripe_balance: int,
    balances: dict[str, AccountBalance],
    differences: Sequence[Difference],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Return the report of a day. A dozen queries; all sums are made in SQL.

    `balances` are the accounts at the end of the day, `differences` those found or noted and not resolved.
    Amounts are JPY.
    """
    book_balance = balances.get(accounts.STRIPE_BALANCE, AccountBalance()).net
    movements = _movements(day)
    checked = Counter(finding.check for finding in findings)
    categories = Counter(difference.kind.category for difference in differences)
    return {
        "format": REPORT_FORMAT,
        "day": day.isoformat(),
        "currency": "jpy",
        **{name: categories[category] for category, name in COUNT_NAMES.items()},
        "discrepancies": [
            {
                "category": difference.kind.category,
                "kind": difference.kind,
                "object": difference.object_id,
                "amount": difference.amount,
                "detail": difference.detail,
            }
            for difference in sorted(differences, key=lambda each: (each.kind, each.object_id))
        ],
        "proof": {
            "stripe_balance": stripe_balance,
            "account_1150": book_balance,
            "difference": stripe_balance - book_balance,
        },
        "orders": _orders(day),
        "payments": _payments(day),
        "stripe": _stripe(day),
        "sales": _sales(movements),
        "fees": {
            "exempt": _debits(movements, accounts.FEES_EXEMPT),
            "taxable": _debits(movements, accounts.FEES_TAXABLE),
            "input_tax": _debits(movements, accounts.INPUT_TAX),
        },
        "trial_balance": _trial_balance(balances, movements),
        "sub_ledgers": {
            code: _sub_ledger(balances.get(code, AccountBalance()))
            for code in accounts.CUSTOMER_LIABILITY_ACCOUNTS
        },
        "records": count_records(day),
        "checks": [
            {"check": check.english_label, "findings": checked[check]} for check in checks.DAILY_CHECKS
        ],
    }


def count_records(day: date) -> dict[str, int]:
    """Return how many rows of the day the records have that the books do not hold themselves."""
    start, end = day_bounds(day)
    records: dict[str, QuerySet[Any]] = {
        "stripe_events": StripeEvent.objects.filter(created__gte=start, created__lt=end),
        "order_events": OrderEvent.objects.filter(at__gte=start, at__lt=end),
    }
    if apps.is_installed("auditlog"):
        audit = apps.get_model("auditlog", "LogEntry")._default_manager
        records["audit"] = audit.filter(timestamp__gte=start, timestamp__lt=end)
    first, *others = (
        rows.order_by()
        .values(record=Value(name, CharField()))
        .annotate(count=Count("pk"))
        .values_list("record", "count")
        for name, rows in records.items()
    )
    return {**dict.fromkeys(records, 0), **dict(first.union(*others, all=True))}


def counts(report: dict[str, Any]) -> dict[Discrepancy.Category, int]:
    """Return how many differences, tasks and notices a report names."""
    return {category: report[name] for category, name in COUNT_NAMES.items()}


def html(report: dict[str, Any]) -> bytes:
    """Return the report as one self-contained page that prints on A4."""
    return render_to_string(
        "ledger/close/report.html",
        {
            "report": report,
            "day": date.fromisoformat(report["day"]),
            "discrepancies": [
                (*titles, _rows_of(report, category)) for category, titles in CATEGORY_TITLES.items()
            ],
            "payments": [
                {**row, "name_ja": method_named(row["method"]).report_label or row["method"]}
                for row in report["payments"]
            ],
            "checks": [{**row, "name_ja": _in_japanese(row["check"])} for row in report["checks"]],
        },
    ).encode()


def _rows_of(report: dict[str, Any], category: Discrepancy.Category) -> list[dict[str, Any]]:
    """Return the rows of a category, each with the Japanese name of its kind."""
    return [
        {**row, "label": KIND_LABELS.get(row["kind"], row["kind"])}
        for row in report["discrepancies"]
        if row.get("category", OLD_CATEGORY) == category
    ]


# The evidence is in Japanese whatever language is active: the same facts, the same bytes.
CATEGORY_TITLES = {
    Discrepancy.Category.DIFFERENCE: ("差異", "Differences"),
    Discrepancy.Category.TO_DO: ("要対応", "To do"),
    Discrepancy.Category.NOTICE: ("通知（自動で処理済み）", "Notices: handled automatically"),
}
KIND_LABELS = {
    Discrepancy.Kind.MISSING_AT_STRIPE: "帳簿にあり Stripe にない",
    Discrepancy.Kind.MISSING_IN_BOOKS: "Stripe にあり帳簿にない",
    Discrepancy.Kind.AMOUNT: "金額の相違",
    Discrepancy.Kind.BALANCE: "Stripe 残高と 1150 の相違",
    Discrepancy.Kind.UNKNOWN_TYPE: "未知の取引種別",
    Discrepancy.Kind.LATE: "締め後に判明",
    Discrepancy.Kind.PAID_OTHER_AMOUNT: "注文と異なる金額の入金",
    Discrepancy.Kind.PAID_AFTER_CANCELLATION: "キャンセル後の入金",
    Discrepancy.Kind.PAID_TWICE: "二重入金",
    Discrepancy.Kind.FOREIGN_CURRENCY: "外貨の取引",
    Discrepancy.Kind.OTHER_BALANCE: "Stripe の別の残高での動き",
    Discrepancy.Kind.REFUND_FAILED: "返金の失敗",
    Discrepancy.Kind.REFUND_REPLACED: "返金の失敗（別の返金で支払済み）",
    Discrepancy.Kind.REFUND_WITHDRAWN: "返金の取消（資金移動前）",
    Discrepancy.Kind.WITHDRAWN_TO_DECIDE: "返金の取消（代金の扱いを要判断）",
    Discrepancy.Kind.MONEY_GONE: "返金済みで未発送の注文",
    Discrepancy.Kind.PAYMENT_MISSING: "支払いの見当たらない完了",
    Discrepancy.Kind.FEE_TAX: "手数料の税と内訳の不一致",
    Discrepancy.Kind.INVARIANT: "帳簿の不変条件の違反",
}


def _in_japanese(name: str) -> str:
    """Return the Japanese name of a check; a name that this version does not know stays as it is."""
    check = Check.from_english_label(name)
    with override("ja"):
        return name if check is None else str(check.label)


def _movements(day: date) -> dict[tuple[str, str], tuple[int, int]]:
    """Return debit and credit (JPY) of the day by source type and account."""
    return {
        (source, account): (debit, credit)
        for source, account, debit, credit in JournalLine.objects.filter(entry__day=day)
        .values_list("entry__source_type", "account_id")
        .annotate(debits=Sum("debit"), credits=Sum("credit"))
        .order_by()
        .values_list("entry__source_type", "account_id", "debits", "credits")
    }


def _debits(movements: dict[tuple[str, str], tuple[int, int]], account: str) -> int:
    return sum(debit - credit for (_source, code), (debit, credit) in movements.items() if code == account)


def _orders(day: date) -> dict[str, dict[str, int]]:
    """Return the number and total of the orders placed, paid and cancelled, and what was shipped."""
    start, end = day_bounds(day)
    within = {
        name: Q(**{f"{field}__gte": start, f"{field}__lt": end})
        for name, field in (("placed", "placed_at"), ("paid", "paid_at"), ("cancelled", "cancelled_at"))
    }
    sums: dict[str, Aggregate] = {}
    for name, condition in within.items():
        sums[f"{name}_count"] = Count("pk", filter=condition)
        sums[f"{name}_total"] = Sum("total", filter=condition)
    counted = Order.objects.filter(within["placed"] | within["paid"] | within["cancelled"]).aggregate(**sums)
    shipped = ShipmentLine.objects.filter(
        shipment__shipped_at__gte=start, shipment__shipped_at__lt=end
    ).aggregate(parcels=Count("shipment", distinct=True), pieces=Sum("quantity"))
    return {
        **{
            name: {"count": counted[f"{name}_count"], "total": counted[f"{name}_total"] or 0}
            for name in within
        },
        "shipped": {"parcels": shipped["parcels"], "pieces": shipped["pieces"] or 0},
    }


def _payments(day: date) -> list[dict[str, Any]]:
    """Return the number and sum of the payments captured within the day, by payment method."""
    start, end = day_bounds(day)
    sums = (
        Payment.objects.filter(captured_at__gte=start, captured_at__lt=end)
        .values("method")
        .annotate(count=Count("pk"), total=Sum("amount"))
        .order_by("method")
    )
    return [dict(row) for row in sums]


def _stripe(day: date) -> dict[str, Any]:
    """Return the sums of the day's transactions of the balance of payments by type."""
    rows = (
        BalanceTransaction.objects.filter(day=day, other_balance__isnull=True)
        .values("type")
        .annotate(
            count=Count("pk"),
            gross=Sum("amount"),
            fees=Sum("fee"),
            fee_taxes=Sum("fee_tax"),
            nets=Sum("net"),
        )
        .order_by("type")
    )
    types = [
        {
            "type": row["type"],
            "count": row["count"],
            "amount": row["gross"],
            "fee": row["fees"],
            "fee_tax": row["fee_taxes"],
            "net": row["nets"],
        }
        for row in rows
    ]
    return {"types": types, "net": sum(row["net"] for row in types)}


def _sales(movements: dict[tuple[str, str], tuple[int, int]]) -> list[dict[str, int | str]]:
    """Return sales and returns per tax class: net of tax, the tax, and the sum of both (JPY)."""

    def credit_of(account: str, *, shipped: bool) -> int:
        return sum(
            credit - debit
            for (source, code), (debit, credit) in movements.items()
            if code == account and (source == posting.SHIPMENT_SOURCE) == shipped
        )

    rows: list[dict[str, int | str]] = []
    for tax_class in TAX_CLASSES:
        goods, tax = (
            credit_of(accounts.SALES_ACCOUNTS[tax_class], shipped=True),
            credit_of(accounts.OUTPUT_TAX_ACCOUNTS[tax_class], shipped=True),
        )
        shipping = credit_of(accounts.SHIPPING_INCOME, shipped=True) if tax_class == SHIPPING_CLASS else 0
        returns, returned_tax = (
            -credit_of(accounts.RETURNS_ACCOUNTS[tax_class], shipped=False),
            -credit_of(accounts.OUTPUT_TAX_ACCOUNTS[tax_class], shipped=False),
        )
        rows.append(
            {
                "class": tax_class,
                "goods": goods,
                "shipping": shipping,
                "tax": tax,
                "gross": goods + shipping + tax,
                "returns": returns,
                "returned_tax": returned_tax,
                "returns_gross": returns + returned_tax,
            }
        )
    return rows


def _trial_balance(
    balances: dict[str, AccountBalance], movements: dict[tuple[str, str], tuple[int, int]]
) -> list[dict[str, str | int]]:
    """Return every account that ever moved: opening, debit, credit, closing (debit − credit)."""
    rows: list[dict[str, str | int]] = []
    for account in Account.objects.filter(code__in=balances).order_by("code"):
        moved = [sides for (_source, code), sides in movements.items() if code == account.code]
        debit, credit = sum(side[0] for side in moved), sum(side[1] for side in moved)
        closing = balances[account.code].net
        rows.append(
            {
                "account": account.code,
                "name_ja": account.name_ja,
                "name_en": account.name_en,
                "opening": closing - debit + credit,
                "debit": debit,
                "credit": credit,
                "closing": closing,
            }
        )
    return rows


def _sub_ledger(balance: AccountBalance) -> dict[str, int]:
    """Return what is owed in a liability account at the end of the day, and for how many orders."""
    return {
        "orders": balance.open_orders,
        "owed": -balance.net - balance.without_order,
        "without_order": balance.without_order,
    }
