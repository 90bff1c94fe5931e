"""The page of a day's report: self-contained, for the screen and for A4.

It is in Japanese whatever language is active: the same facts give the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.template.loader import render_to_string

from ledger.books import accounts
from ledger.books.transaction_names import type_name
from ledger.books.trial_sheet import TITLE
from ledger.closing.findings import check_name, discrepancy_object
from ledger.closing.report import EXEMPT
from ledger.closing.report_figures import GOODS, PAID, RETURNS, SHIPPING, TOGETHER, UNKNOWN
from ledger.models import Discrepancy, OrderEvent, TaxStatus
from ledger.stripe.methods import method_named

REASONS = {
    PAID: "注文の入金",
    OrderEvent.Kind.PAID_OTHER_AMOUNT: "注文と異なる金額の入金",
    OrderEvent.Kind.PAID_AFTER_CANCELLATION: "キャンセル後の入金（自動で返金）",
    OrderEvent.Kind.PAID_TWICE: "二重の入金（自動で返金）",
    UNKNOWN: "注文との対応が不明な入金",
}
CLASSES = {"standard": "標準税率", "reduced": "軽減税率"}
ITEMS = {GOODS: "商品", SHIPPING: "送料", TOGETHER: "商品・送料", RETURNS: "返品・値引"}
KIND_LABELS = {
    Discrepancy.Kind.MISSING_AT_STRIPE: "帳簿にあり Stripe にない",
    Discrepancy.Kind.MISSING_IN_BOOKS: "Stripe にあり帳簿にない",
    Discrepancy.Kind.AMOUNT: "金額・状態の相違",
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
    Discrepancy.Kind.INVARIANT: "検査の不合格",
}
# what the trial balance shows: that of the journal, by how the merchant keeps its books
ACCOUNTING = {
    TaxStatus.Accounting.NET: "税抜経理",
    TaxStatus.Accounting.GROSS: "税抜（仕訳帳のまま。消費税等を各科目に含めた税込の試算表は管理画面）",
    EXEMPT: "税込経理（免税事業者）",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Headline:
    """What a report says in one look. A difference is an amount; everything else that waits is a task."""

    unmatched: Sequence[Row]  # on whose amount our books and Stripe do not agree
    to_do: Sequence[Row]
    notices: Sequence[Row]
    passed: int  # checks without a finding
    checks: int

    @property
    def rows(self) -> list[Row]:
        """All rows: differences first, then what is to be done, then the notices."""
        return [*self.unmatched, *self.to_do, *self.notices]

    @property
    def unmatched_total(self) -> int:
        """The sum of the amounts, whatever their direction (JPY)."""
        return sum(abs(row["amount"]) for row in self.unmatched)


def headline(report: Mapping[str, Any]) -> Headline:
    """Return what a report says in one look."""
    rows = [{**row, **_in_japanese(row)} for row in report["discrepancies"]]
    notices = [row for row in rows if row["category"] == Discrepancy.Category.NOTICE]
    unmatched = [row for row in rows if row["category"] == Discrepancy.Category.DIFFERENCE and row["amount"]]
    return Headline(
        unmatched=unmatched,
        to_do=[row for row in rows if row not in notices and row not in unmatched],
        notices=notices,
        passed=sum(not row["findings"] for row in report["checks"]),
        checks=len(report["checks"]),
    )


def html(report: Mapping[str, Any]) -> bytes:
    """Return the report as one self-contained page that prints on A4."""
    names = {row["account"]: row["name"] for row in report["trial_balance"]}
    sheet = [
        {**row, "debit_balance": max(row["closing"], 0), "credit_balance": max(-row["closing"], 0)}
        for row in report["trial_balance"]
    ]
    context = {
        "report": report,
        "day": date.fromisoformat(report["day"]),
        "head": headline(report),
        "receipts": _receipts(report),
        "sales": _sales(report),
        "fees": _fees(report),
        "types": [{**row, "name": type_name(row["type"])} for row in report["stripe"]["types"]],
        "title": TITLE,
        "accounting": ACCOUNTING[report["accounting"]],
        "sheet": sheet,
        "sums": {
            side: sum(row[side] for row in sheet)
            for side in ("debit_balance", "debit", "credit", "credit_balance")
        },
        "sub_ledgers": [
            {
                **ledger,
                "code": code,
                "name": names.get(code) or CHART[code],
                "total": ledger["owed"] + ledger["without_order"],
            }
            for code, ledger in report["sub_ledgers"].items()
        ],
        "checks": [{**row, "name": check_name(row["check"])} for row in report["checks"]],
    }
    return render_to_string("ledger/close/report.html", context).encode()


CHART = {account.code: account.name_ja for account in accounts.CHART}


def _in_japanese(row: Row) -> Row:
    """Return the Japanese names of a discrepancy's kind and object."""
    return {
        "label": KIND_LABELS.get(row["kind"], row["kind"]),
        "object": discrepancy_object(row["kind"], row["object"]),
    }


@dataclass(frozen=True)
class Group:
    """Rows of a table with their sum."""

    rows: Sequence[Row]
    title: str  # of the sum

    @property
    def total(self) -> dict[str, int]:
        """The sum of the rows."""
        return _sum(self.rows)


def _receipts(report: Mapping[str, Any]) -> list[Group]:
    """Return the receipts by order, by method and as Stripe's sales; each group ties to the one before."""
    by_method = [
        {**row, "name": method_named(row["method"]).report_label or row["method"]}
        for row in report["payments"]
    ]
    ours = _sum(by_method)
    by_order = [{"name": REASONS[PAID], **report["orders"]["paid"]}] + [
        {**row, "name": REASONS[row["reason"]]} for row in report["receipts"] if row["reason"] != PAID
    ]
    sales, not_ours = report["stripe"]["sales"], report["stripe"]["not_ours"]
    at_stripe = [{"name": "当店の入金", **ours}, {"name": "当店の注文にない入金", **not_ours}]
    return [
        Group(_tied(by_order, ours, "注文の記録との差"), "入金合計"),
        Group(by_method, "方法別合計"),
        Group(
            [
                row
                for row in _tied(at_stripe, sales, "Stripe の取引日が異なる入金")
                if row["count"] or row["total"]
            ],
            "Stripe の売上取引",
        ),
    ]


def _tied(rows: list[Row], total: Row, name: str) -> list[Row]:
    """Return the rows, and one that says what they lack of the total, if they do."""
    found = _sum(rows)
    rest = {key: total[key] - found[key] for key in found}
    return [*rows, {"name": name, **rest}] if any(rest.values()) else rows


def _sum(rows: Iterable[Row]) -> dict[str, int]:
    known = list(rows)
    return {key: sum(row[key] for row in known) for key in ("count", "total")}


def _sales(report: Mapping[str, Any]) -> Row:
    """Return the tables of sales, returns and net sales: net of tax, tax, tax included, one column each."""
    rows = [
        {**row, "name": f"{_rate_name(row['class'], row['rate'])}　{ITEMS[row['item']]}"}
        for row in report["sales"]
    ]
    sold = [row for row in rows if row["item"] != RETURNS]
    returned = [row for row in rows if row["item"] == RETURNS]
    by_rate: dict[str, Row] = {}
    for row in rows:
        name = _rate_name(row["class"], row["rate"])
        sign = -1 if row["item"] == RETURNS else 1
        total = by_rate.setdefault(name, {"name": name, "net": 0, "tax": 0, "gross": 0})
        for amount in ("net", "tax", "gross"):
            total[amount] += sign * row[amount]
    total_sold = _amounts(sold)
    shipped = report["orders"]["shipped"]["total"]
    return {
        "sold": sold,
        "total_sold": total_sold,
        "returned": returned,
        "total_returned": _amounts(returned),
        "by_rate": list(by_rate.values()),
        "not_shipped": total_sold["gross"] - shipped,  # reversals, and what a person corrected
        **{
            name: {**amounts, "first": date.fromisoformat(amounts["from"])}
            for name, amounts in report["net_sales"].items()
        },
    }


def _amounts(rows: Iterable[Row]) -> dict[str, int]:
    known = list(rows)
    return {name: sum(row[name] for row in known) for name in ("net", "tax", "gross")}


def _rate_name(tax_class: str, rate: int | None) -> str:
    return (
        f"{CLASSES[tax_class]} {rate}%"
        if rate is not None
        else f"対象外（免税事業者）{CLASSES[tax_class]}の品"
    )


def _fees(report: Mapping[str, Any]) -> Row:
    """Return the fees as posted, and what they lack of those of Stripe's transactions of the day."""
    fees = report["fees"]
    rows = [
        {"name": "非課税", "net": fees["exempt"], "tax": 0, "gross": fees["exempt"]},
        {
            "name": "課税",
            "net": fees["taxable"],
            "tax": fees["input_tax"],
            "gross": fees["taxable"] + fees["input_tax"],
        },
    ]
    total = _amounts(rows)
    at_stripe = sum(row["fee"] for row in report["stripe"]["types"])
    return {"rows": rows, "total": total, "at_stripe": at_stripe, "rest": at_stripe - total["gross"]}
