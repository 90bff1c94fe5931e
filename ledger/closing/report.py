"""The report of a closed day: what happened, what the accounts say, what does not add up.

It holds facts only and no wall clock, so the same facts give the same bytes. `ledger.closing.report_page`
writes it as a page.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.apps import apps
from django.db.models import CharField, Count, QuerySet, Value

from kikaku.days import day_bounds
from ledger.books import accounts, periods, trial_sheet
from ledger.books.periods import Period
from ledger.books.tax_rules import TaxRules, load_tax_rules
from ledger.books.trial_balance import AccountBalance, Sides, balances_at
from ledger.books.trial_sheet import Sheet, Standing
from ledger.closing import checks, report_figures
from ledger.closing.findings import Finding
from ledger.closing.reconciliation import Difference
from ledger.closing.report_figures import Movement
from ledger.models import Account, DailyClose, Discrepancy, OrderEvent, StripeEvent, TaxStatus

# 1: "differences" counted tasks and notices, too. 2: no rates, no net sales, no reasons of payments.
# 3: did not say whether the accounts of the trial balance include tax.
REPORT_FORMAT = 4
EXEMPT = "exempt"  # beside the values of `TaxStatus.Accounting`
COUNT_NAMES = {
    Discrepancy.Category.DIFFERENCE: "differences",
    Discrepancy.Category.TO_DO: "to_do",
    Discrepancy.Category.NOTICE: "notices",
}


def build(
    day: date,
    *,
    stripe_balance: int,
    balances: Mapping[str, AccountBalance],
    differences: Sequence[Difference],
    findings: Sequence[Finding],
    rules: TaxRules | None = None,
    chart: Sequence[Account] | None = None,
) -> dict[str, Any]:
    """Return the report of a day. A dozen queries; all sums are made in SQL.

    `balances` are the accounts at the end of the day, `differences` those found or noted and not resolved,
    `rules` those of the tax and `chart` all accounts in the order of their codes, where the caller has read
    them. Amounts are JPY.
    """
    book_balance = balances.get(accounts.STRIPE_BALANCE, AccountBalance()).net
    movements = report_figures.movements(day)
    checked = Counter(finding.check for finding in findings)
    categories = Counter(difference.kind.category for difference in differences)
    parcels = report_figures.parcels(day)
    by_reason, by_method = report_figures.receipts(day)
    rules = rules or load_tax_rules()
    standings = _standings(day, rules, balances, movements)
    sheet = standings.sheet(chart)
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
        "orders": {
            **report_figures.orders(day),
            "shipped": {**parcels["sold"], "total": report_figures.shipped_total(movements)},
            "free": parcels["free"],
        },
        "receipts": by_reason,
        "payments": by_method,
        "stripe": report_figures.stripe(day),
        "sales": report_figures.sales(movements),
        "net_sales": standings.net_sales(),
        "fees": {
            "exempt": report_figures.moved(movements, accounts.FEES_EXEMPT),
            "taxable": report_figures.moved(movements, accounts.FEES_TAXABLE),
            "input_tax": report_figures.moved(movements, accounts.INPUT_TAX),
        },
        # the trial balance is that of the journal: it ties to journal.csv whatever the accounting is
        "accounting": _accounting(rules.status_on(day)),
        "trial_balance": [
            {
                "account": row.code,
                "name": row.name,
                "opening": row.opening,
                "debit": row.debit,
                "credit": row.credit,
                "closing": row.closing,
                "year_to_date": row.year_to_date,
            }
            for row in sheet.rows
        ],
        "sub_ledgers": {
            code: _sub_ledger(balances.get(code, AccountBalance()))
            for code in accounts.CUSTOMER_LIABILITY_ACCOUNTS
        },
        "records": count_records(day),
        "checks": [
            {"check": check.english_label, "findings": checked[check]} for check in checks.DAILY_CHECKS
        ],
    }


def _accounting(status: TaxStatus) -> str:
    """Return how the merchant keeps its books: net or gross of tax, or exempt."""
    return EXEMPT if status.is_exempt else str(status.accounting)


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


@dataclass(frozen=True)
class _Standings:
    """What the accounts hold at the end of the day, and before the day, its month and its year began."""

    period: Period  # the day
    year: Period
    before: Mapping[date, Mapping[str, Sides]]  # by the first day of each
    closing: Mapping[str, Sides]

    def sheet(self, chart: Iterable[Account] | None) -> Sheet:
        """Return the trial balance of the day."""
        standing = Standing(self.before[self.year.first], self.before[self.period.first], self.closing)
        return trial_sheet.compose(self.period, self.year, standing, chart=chart)

    def net_sales(self) -> dict[str, dict[str, Any]]:
        """Return sales less returns of the day, of its month and of its year so far."""
        day = self.period.first
        firsts = {"day": day, "month": day.replace(day=1), "year": self.year.first}
        return {
            name: {"from": first.isoformat(), **report_figures.net_sales(self.before[first], self.closing)}
            for name, first in firsts.items()
        }


def _standings(
    day: date, rules: TaxRules, balances: Mapping[str, AccountBalance], movements: Iterable[Movement]
) -> _Standings:
    """Return what the accounts hold at each of the ends. One query."""
    moved: defaultdict[str, Sides] = defaultdict(Sides)
    for each in movements:
        moved[each.account] = moved[each.account].plus(Sides(each.debit, each.credit))
    opening = {code: balance.less(moved[code]) for code, balance in balances.items()}
    year = periods.fiscal_year(day, rules)
    eves = {first: first - timedelta(days=1) for first in (day.replace(day=1), year.first)}
    found = _carried(eves.values())
    before = {first: found[eve] for first, eve in eves.items()}
    return _Standings(periods.any_days(day, day), year, {**before, day: opening}, balances)


def _carried(days: Iterable[date]) -> dict[date, Mapping[str, Sides]]:
    """Return the balances that were carried from days before the one that is closed.

    Days close without gaps since the books began, so a day that is not closed has nothing before it.
    """
    found: dict[date, dict[str, Sides]] = {day: {} for day in days}
    without: set[date] = set()  # closed before balances were carried, or before anything was posted
    for day, account, debit, credit in DailyClose.objects.filter(day__in=found).values_list(
        "day", "balances__account", "balances__debit", "balances__credit"
    ):
        if account is None:
            without.add(day)
        else:
            found[day][account] = Sides(debit, credit)
    return {**found, **(balances_at(without) if without else {})}


def _sub_ledger(balance: AccountBalance) -> dict[str, int]:
    """Return what is owed in a liability account at the end of the day, and for how many orders."""
    return {
        "orders": balance.open_orders,
        "owed": -balance.net - balance.without_order,
        "without_order": balance.without_order,
    }
