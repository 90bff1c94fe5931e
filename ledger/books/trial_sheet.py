"""The trial balance of a period (合計残高試算表), of Stripe's and the sales' accounts, not of the company.

Sales and expenses count since the first day of the fiscal year. No entry closes a year: what earlier years
left is one row, 前期以前損益, so that both sides stay equal. The other accounts carry on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils.translation import gettext as _

from ledger.books import gross_sheet
from ledger.books.accounts import STRIPE_BALANCE, TAX_ACCOUNTS
from ledger.books.periods import Period, fiscal_year
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import NOTHING, Sides, balances_at
from ledger.models import Account

TITLE = "試算表（Stripe・売上関連勘定のみ）"
PAYABLE_TO_STRIPE = "未払金（Stripe残高）"  # 1150 when Stripe advanced more than it held
FORMER_PROFIT = "前期以前損益"
PROFIT_TYPES = (Account.Type.REVENUE, Account.Type.EXPENSE)
DEBIT_TYPES = (Account.Type.ASSET, Account.Type.EXPENSE)  # their balances are normally debits


class PeriodAcrossYears(ValueError):
    """The period lies in two fiscal years: its sales and expenses have no one opening balance."""

    def __init__(self, year: Period) -> None:
        super().__init__(
            _("The fiscal year ends on %(day)s. Choose a period that lies within one fiscal year.")
            % {"day": year.last}
        )


@dataclass(frozen=True)
class SheetRow:
    """An account in a period. JPY; a balance is debit − credit."""

    code: str  # empty: the profit of former years
    name: str
    type: str  # a value of `Account.Type`
    opening: int
    debit: int  # of the period
    credit: int
    year_to_date: int  # change since the fiscal year began

    @property
    def closing(self) -> int:
        """The balance at the end of the period."""
        return self.opening + self.debit - self.credit

    @property
    def debit_balance(self) -> int:
        """The balance at the end when it is a debit, else 0."""
        return max(self.closing, 0)

    @property
    def credit_balance(self) -> int:
        """The balance at the end when it is a credit, else 0."""
        return max(-self.closing, 0)

    @property
    def written(self) -> "Written":
        """The balances as the type of account writes them: credits of a liability are positive."""
        sign = 1 if self.type in DEBIT_TYPES else -1
        return Written(sign * self.opening, sign * self.closing, sign * self.year_to_date)


@dataclass(frozen=True)
class Written:
    """Balances of an account, positive on the side that its type normally has."""

    opening: int
    closing: int
    year_to_date: int


@dataclass(frozen=True)
class Sheet:
    """The accounts that ever moved, in the order of their codes."""

    period: Period
    year: Period  # the fiscal year that contains the period
    rows: tuple[SheetRow, ...]
    is_gross: bool = False  # the tax is shown in the accounts that it belongs to

    @property
    def debit(self) -> int:
        """The sum of the debits of the period."""
        return sum(row.debit for row in self.rows)

    @property
    def credit(self) -> int:
        """The sum of the credits of the period."""
        return sum(row.credit for row in self.rows)

    @property
    def debit_balance(self) -> int:
        """The sum of the debit balances."""
        return sum(row.debit_balance for row in self.rows)

    @property
    def credit_balance(self) -> int:
        """The sum of the credit balances."""
        return sum(row.credit_balance for row in self.rows)


@dataclass(frozen=True)
class Standing:
    """What the accounts hold by their codes, since the books began, at the three ends that a sheet needs."""

    before_year: Mapping[str, Sides]  # at the end of the fiscal year before
    opening: Mapping[str, Sides]  # at the end of the day before the period
    closing: Mapping[str, Sides]


def year_of(period: Period, rules: TaxRules) -> Period:
    """Return the fiscal year that contains a period. Raises `PeriodAcrossYears` and `TaxStatusMissing`."""
    year = fiscal_year(period.first, rules)
    if period.last > year.last:
        raise PeriodAcrossYears(year)
    return year


def sheet(period: Period, rules: TaxRules, *, closing: Mapping[str, Sides] | None = None) -> Sheet:
    """Return the trial balance of the journal. Raises `PeriodAcrossYears` and `TaxStatusMissing`.

    Takes three queries; two for the first open day when `closing`, the sums at its end, is known.
    """
    year = year_of(period, rules)
    before_year, opening = year.first - timedelta(days=1), period.first - timedelta(days=1)
    asked = [before_year, opening, *([] if closing is not None else [period.last])]
    found = balances_at(asked)
    ends = found[period.last] if closing is None else closing
    return compose(period, year, Standing(found[before_year], found[opening], ends))


def printed_sheet(period: Period, rules: TaxRules) -> Sheet:
    """Return the trial balance as the merchant keeps its books: with tax included when its status says so.

    The journal is kept net of tax. Takes one query more than `sheet` when tax is included.
    """
    gross = gross_sheet.spans(rules, period.last)
    if not gross:
        return sheet(period, rules)
    year = year_of(period, rules)
    is_gross = any(last >= year.first for _first, last in gross)  # else only former years were
    opening = period.first - timedelta(days=1)
    standing = Standing(*gross_sheet.include_tax(rules, year.first, opening, period.last))
    return compose(period, year, standing, is_gross=is_gross)


def compose(
    period: Period,
    year: Period,
    standing: Standing,
    *,
    chart: Iterable[Account] | None = None,
    is_gross: bool = False,
) -> Sheet:
    """Return the trial balance of a period of a fiscal year from what the accounts hold.

    `chart` are all accounts in the order of their codes, where the caller has read them.
    """
    rows = []
    former = 0
    if chart is None:
        chart = Account.objects.filter(code__in=standing.closing).order_by("code")
    for account in chart:
        code = account.code
        if code not in standing.closing:
            continue
        before_year = standing.before_year.get(code, NOTHING)
        opening = standing.opening.get(code, NOTHING)
        closing = standing.closing[code]
        moved = closing.less(opening)
        if is_gross and code in TAX_ACCOUNTS and moved == NOTHING and not closing.net:
            continue
        carried = opening.net
        if account.type in PROFIT_TYPES:
            former += before_year.net
            carried -= before_year.net
        row = SheetRow(
            code=code,
            name=account.name_ja,
            type=account.type,
            opening=carried,
            debit=moved.debit,
            credit=moved.credit,
            year_to_date=closing.net - before_year.net,
        )
        if code == STRIPE_BALANCE and row.closing < 0:
            row = replace(row, name=PAYABLE_TO_STRIPE)
        rows.append(row)
    if former:
        former_profit = SheetRow("", FORMER_PROFIT, Account.Type.EQUITY, former, 0, 0, 0)
        place = next((n for n, row in enumerate(rows) if row.type in PROFIT_TYPES), len(rows))
        rows.insert(place, former_profit)
    return Sheet(period, year, tuple(rows), is_gross)
