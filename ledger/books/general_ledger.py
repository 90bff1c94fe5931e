"""The ledger of an account (総勘定元帳): its lines in a period, with the balance after each.

The accounts of sales and expenses begin anew with each fiscal year; the others carry on. A balance is written
as its type of account writes it: credits of a liability are positive.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any

from django.db.models import Case, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Value, When

from ledger.books.periods import Period, month
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import NOTHING, Sides, balances_at
from ledger.books.trial_sheet import DEBIT_TYPES, PROFIT_TYPES, year_of
from ledger.models import Account, JournalLine
from ledger.models.books import voucher_number

SEVERAL = "諸口"  # instead of one account on the other side
LINES_PER_QUERY = 2000


class RowKind(StrEnum):
    """What a row of a ledger is."""

    CARRIED = "carried"  # the balance before the period
    LINE = "line"
    MONTH = "month"  # the sums of a month, or of its days in the period
    TOTAL = "total"  # the sums since the fiscal year began


@dataclass(frozen=True)
class LedgerRow:
    """A row of the ledger of an account. JPY; None where its kind has no such amount."""

    account: Account
    kind: RowKind
    text: str  # of a line: description and counterparty
    balance: int
    debit: int | None = None
    credit: int | None = None
    day: date | None = None  # of a line; of the sums of a month its first day
    # of a line:
    voucher: str = ""
    entry_id: int | None = None
    contra: str = ""  # the account on the other side, with its code, or 諸口


def read_ledgers(period: Period, rules: TaxRules, account: str | None = None) -> Iterator[LedgerRow]:
    """Yield the rows of every account that has lines or a balance, in the order of their codes; or of one.

    Raises `PeriodAcrossYears` and `TaxStatusMissing` at once. Takes four queries, however many rows.
    """
    year = year_of(period, rules)
    before_year, before = year.first - timedelta(days=1), period.first - timedelta(days=1)
    found = balances_at([before_year, before], account)
    chart = {each.code: each for each in Account.objects.order_by("code")}
    return _rows(period, chart, found[before_year], found[before], account)


def _rows(
    period: Period,
    chart: Mapping[str, Account],
    before_year: Mapping[str, Sides],
    before: Mapping[str, Sides],
    only: str | None,
) -> Iterator[LedgerRow]:
    lines = _lines(period, only).iterator(LINES_PER_QUERY)
    groups = groupby(lines, key=lambda row: row["account_id"])
    code, of_account = next(groups, (None, iter(())))
    for account in chart.values():
        carried = before.get(account.code, NOTHING)
        has_lines = account.code == code
        if has_lines or account.code == only or _opening(account, carried, before_year):
            own = of_account if has_lines else iter(())
            yield from _rows_of_account(account, period, chart, before_year, carried, own)
        if has_lines:
            code, of_account = next(groups, (None, iter(())))


def _opening(account: Account, carried: Sides, before_year: Mapping[str, Sides]) -> int:
    """Return the balance before the period (debit − credit), since the year began for sales and expenses."""
    if account.type not in PROFIT_TYPES:
        return carried.net
    return carried.less(before_year.get(account.code, NOTHING)).net


def _rows_of_account(
    account: Account,
    period: Period,
    chart: Mapping[str, Account],
    before_year: Mapping[str, Sides],
    carried: Sides,
    lines: Iterator[dict[str, Any]],
) -> Iterator[LedgerRow]:
    sign = 1 if account.type in DEBIT_TYPES else -1
    balance = _opening(account, carried, before_year)
    total = carried.less(before_year.get(account.code, NOTHING))
    yield LedgerRow(account, RowKind.CARRIED, "繰越", sign * balance)
    for first, of_month in groupby(lines, key=lambda row: row["entry__day"].replace(day=1)):
        moved = NOTHING
        for row in of_month:
            sides = Sides(row["debit"], row["credit"])
            moved = moved.plus(sides)
            balance += sides.net
            yield _line(account, row, chart, sign * balance)
        total = total.plus(moved)
        yield LedgerRow(
            account,
            RowKind.MONTH,
            _name(first, period),
            sign * balance,
            moved.debit,
            moved.credit,
            day=first,
        )
        yield LedgerRow(account, RowKind.TOTAL, "累計", sign * balance, total.debit, total.credit)


def _name(first: date, period: Period) -> str:
    """Return the name of the sums of a month, of which the period may have only some days."""
    whole = month(first)
    if whole.first in period and whole.last in period:
        return f"{first.month}月計"
    days = f"{max(whole.first, period.first).day}日〜{min(whole.last, period.last).day}日"
    return f"{first.month}月計（{days}）"


def _line(account: Account, row: Mapping[str, Any], chart: Mapping[str, Account], balance: int) -> LedgerRow:
    contra = chart.get(row["contra"])
    return LedgerRow(
        account,
        RowKind.LINE,
        " ".join(filter(None, (row["entry__description"], row["entry__counterparty"]))),
        balance,
        row["debit"],
        row["credit"],
        day=row["entry__day"],
        voucher=voucher_number(row["entry_id"], row["entry__fiscal_year"], row["entry__day"]),
        entry_id=row["entry_id"],
        contra=SEVERAL if contra is None else str(contra),
    )


def _lines(period: Period, account: str | None) -> QuerySet[Any, Any]:
    """Return the lines of the period by account, in the order of the vouchers of a day.

    `contra` is the one account on the other side of their entry, or empty.
    """
    # of these two comparisons only that of the side on which a line is not can hold: its other side is 0
    is_opposite = Q(debit__gt=0, credit__lt=OuterRef("credit")) | Q(credit__gt=0, debit__lt=OuterRef("debit"))
    opposite = (
        JournalLine.objects.filter(is_opposite, entry=OuterRef("entry"))
        .order_by()
        .values("entry")
        .annotate(least=Min("account_id"), greatest=Max("account_id"))
        .values(one=Case(When(least=F("greatest"), then=F("least")), default=Value("")))
    )
    lines = JournalLine.objects.filter(entry__day__gte=period.first, entry__day__lte=period.last)
    if account is not None:
        lines = lines.filter(account_id=account)
    return (
        lines.order_by("account_id", "entry__day", "entry_id", "position")
        .annotate(contra=Subquery(opposite))
        .values(
            "account_id",
            "debit",
            "credit",
            "contra",
            "entry_id",
            "entry__day",
            "entry__fiscal_year",
            "entry__description",
            "entry__counterparty",
        )
    )
