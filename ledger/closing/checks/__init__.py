"""What must always hold in the books. A check reads rows and yields findings; it changes nothing.

A close checks what its day touched, `verify_books` checks everything. Sums are grouped in SQL, so a check
takes a few queries whatever the number of rows.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TypeVar

from django.db.models import Max, Min, Model, QuerySet

from kikaku.days import day_bounds
from ledger.books.tax_rules import TaxRules, TaxStatusMissing, load_tax_rules
from ledger.books.trial_balance import AccountBalance
from ledger.closing.checks import entries, history, orders, sources, stock
from ledger.closing.findings import Check, Finding
from ledger.models import BalanceTransaction, JournalEntry, Order

PORTION_SIZE = 2000  # rows of a portion: it bounds memory and the length of a query
DAILY_CHECKS = (  # the checks of every close, in the order of its report
    Check.ENTRY_BALANCED,
    Check.TRIAL_BALANCE,
    Check.STRIPE_BALANCE_SOURCE,
    Check.TRANSACTION_ENTRY,
    Check.TRANSACTION_NET,
    Check.ENTRY_DAY,
    Check.PREPAYMENTS,
    Check.REFUNDS_PAYABLE,
    Check.SHIPPED_PREPAYMENT,
    Check.TAX_STANDARD_POSTED,
    Check.TAX_STANDARD_REVERSED,
    Check.TAX_REDUCED_POSTED,
    Check.TAX_REDUCED_REVERSED,
    Check.LINE_TAX,
    Check.ENTRY_SOURCE,
    Check.ENTRY_AMOUNT,
)

Row = TypeVar("Row", bound=Model)


def check_day(
    day: date,
    balances: Mapping[str, AccountBalance],
    rules: TaxRules | None = None,
    keys: tuple[int, int] | None = None,
) -> list[Finding]:
    """Return the findings about the books at the end of `day`, and about everything that the day touched.

    `balances` are the accounts at the end of the day, by account code. `rules` are those of the tax, `keys`
    the first and last key of the day's entries, where the caller has read them. Raises `TaxStatusMissing`:
    what waits for it would be missing in the day.
    """
    rules = rules or load_tax_rules()
    if not rules.statuses:
        raise TaxStatusMissing
    findings = list(entries.trial_balance(balances))
    start, end = day_bounds(day)
    for portion in _portions(JournalEntry.objects.filter(day=day), keys):
        findings += entries.unbalanced_entries(portion)
        transactions = list(entries.balance_transactions(portion))
        findings += entries.transaction_entries(portion, rules, transactions)
        findings += sources.entry_sources(portion, transactions)
        findings += entries.entry_days(portion.exclude(occurred_at__gte=start, occurred_at__lt=end))
    findings += entries.unposted_transactions(BalanceTransaction.objects.filter(day=day))
    for touched in _touched_orders(day):
        findings += orders.order_balances(touched, until=day)
        findings += orders.shipped_orders(touched)
    return findings


def check_everything() -> Iterator[Finding]:
    """Yield the findings about every row of the books, portion by portion."""
    yield from entries.trial_balance(None)
    rules = load_tax_rules()
    for portion in _portions(JournalEntry.objects.all()):
        yield from entries.unbalanced_entries(portion)
        transactions = list(entries.balance_transactions(portion))
        yield from entries.transaction_entries(portion, rules, transactions)
        yield from sources.entry_sources(portion, transactions)
        yield from entries.entry_days(portion)
    yield from entries.unposted_transactions(BalanceTransaction.objects.all())
    for some in _portions(Order.objects.all()):
        yield from orders.order_totals(some)
        yield from orders.order_balances(some, until=None)
        yield from orders.shipped_orders(some)
        yield from orders.paid_orders(some)
        yield from orders.refunded_payments(some)
        yield from orders.refund_parts(some)
        yield from orders.shipped_pieces(some)
        yield from orders.parcel_entries(some)
        yield from orders.unpaid_refund_entries(some)
        yield from orders.kept_money_entries(some)
        yield from history.order_statuses(some)
        yield from history.refund_statuses(some)
        yield from history.line_pieces(some)
    yield from stock.stock_items()
    yield from history.account_types()
    yield from history.emptied_events()


def _portions(rows: QuerySet[Row], keys: tuple[int, int] | None = None) -> Iterator[QuerySet[Row]]:
    """Split rows into ranges of their keys; the first and the last are read unless they are given."""
    if keys is None:
        found = rows.aggregate(first=Min("pk"), last=Max("pk"))
        keys = found["first"] or 0, found["last"] or -1
    first, last = keys
    for start in range(first, last + 1, PORTION_SIZE):
        yield rows.filter(pk__gte=start, pk__lt=start + PORTION_SIZE)


def _touched_orders(day: date) -> Iterator[QuerySet[Order]]:
    """Yield the orders that entries of a day belong to, in portions of similar size."""
    of_orders = JournalEntry.objects.filter(day=day, order__isnull=False)
    touched = list(of_orders.order_by("order_id").values_list("order_id", flat=True).distinct())
    for start in range(0, len(touched), PORTION_SIZE):
        portion = touched[start : start + PORTION_SIZE]
        of_portion = of_orders.filter(order_id__gte=portion[0], order_id__lte=portion[-1])
        yield Order.objects.filter(pk__in=of_portion.values("order_id"))
