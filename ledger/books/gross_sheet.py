"""Balances with tax included (税込経理) out of a journal that is kept net of tax.

The tax on a line moves to the account of the line: from 2150 and 2151 to sales and returns, from 1410 to
fees. Entries of form 1 do not tell the tax of their lines: theirs moves by class. What was posted while the
merchant kept its books net of tax, or was exempt, stays as it is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from django.db.models import Case, F, IntegerField, Q, Sum, Value, When
from django.db.models.functions import Coalesce

from ledger.books import accounts
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_balance import BEGINNING_OF_BOOKS, NOTHING, Sides, balances_at
from ledger.models import JournalLine, TaxStatus
from ledger.models.books import LineTaxClass

# where tax moves that no line beside it tells of, by its account: debits, credits
BY_CLASS = {
    accounts.OUTPUT_TAX_STANDARD: (accounts.RETURNS_STANDARD, accounts.SALES_STANDARD),
    accounts.OUTPUT_TAX_REDUCED: (accounts.RETURNS_REDUCED, accounts.SALES_REDUCED),
    accounts.INPUT_TAX: (accounts.FEES_TAXABLE, accounts.FEES_TAXABLE),
}
ONE_DAY = timedelta(days=1)

Balances = dict[str, Sides]
Span = tuple[date, date]  # first and last day


def spans(rules: TaxRules, until: date) -> list[Span]:
    """Return the days up to `until` on which a taxable merchant keeps its books with tax included."""
    changes = sorted({status.from_day for status in rules.statuses if status.from_day <= until})
    firsts = [BEGINNING_OF_BOOKS, *changes[1:]]  # the first status also holds before its day
    lasts = [*(day - ONE_DAY for day in firsts[1:]), until]
    return [
        (first, last) for first, last in zip(firsts, lasts, strict=True) if is_gross(rules.status_on(last))
    ]


def is_gross(status: TaxStatus) -> bool:
    """Return whether a taxable merchant keeps its books with tax included."""
    return status.accounting == TaxStatus.Accounting.GROSS and not status.is_exempt


def include_tax(
    rules: TaxRules, year: date, opening: date, closing: date
) -> tuple[Balances, Balances, Balances]:
    """Return the balances before the fiscal year that begins on `year`, and at the end of two days.

    The tax is in the accounts that it belongs to. Of former years the tax of a class moves as a whole: their
    sales and expenses are one sum. Takes three queries and reads the lines of the year.
    """
    before_year = year - ONE_DAY
    gross = spans(rules, closing)
    former = [(first, min(last, before_year)) for first, last in gross if first <= before_year]
    ends = {last for _first, last in former} | {
        first - ONE_DAY for first, _last in former if first > BEGINNING_OF_BOOKS
    }
    found = balances_at({before_year, opening, closing, *ends})
    moved: defaultdict[str, Sides] = defaultdict(Sides)
    for first, last in former:
        start = {} if first == BEGINNING_OF_BOOKS else found[first - ONE_DAY]
        for code in accounts.TAX_ACCOUNTS:
            tax = found[last].get(code, NOTHING).less(start.get(code, NOTHING))
            _move(moved, code, tax, tax)
    this_year = [(max(first, year), last) for first, last in gross if last >= year]
    until_opening, until_closing = _tax_of_lines(this_year, opening)
    return (
        _plus(found[before_year], moved),
        _plus(found[opening], moved, until_opening),
        _plus(found[closing], moved, until_closing),
    )


def including_tax(code: str, net: int, tax_class: str | None, tax: int | None) -> tuple[str, int]:
    """Return the account that a line of `net` (debit − credit) moves with tax included, and by how much.

    A line of tax moves what no line beside it could carry; one of form 1 all of it.
    """
    beside = (tax or 0) if net > 0 else -(tax or 0)
    is_form_1 = tax_class is None and code in accounts.TAX_ACCOUNTS
    if tax_class != LineTaxClass.TAX and not is_form_1:
        return code, net + beside
    debits, credits = BY_CLASS.get(code, (code, code))
    return debits if net > 0 else credits, net if is_form_1 else beside


def _move(moved: defaultdict[str, Sides], code: str, posted: Sides, beside: Sides) -> None:
    """Take what was posted as tax away from an account, and add the tax to those that it belongs to."""
    debits, credits = BY_CLASS.get(code, (code, code))
    moved[code] = moved[code].less(posted)
    if beside.debit:
        moved[debits] = moved[debits].plus(Sides(debit=beside.debit))
    if beside.credit:
        moved[credits] = moved[credits].plus(Sides(credit=beside.credit))


def _plus(*parts: Mapping[str, Sides]) -> Balances:
    total: defaultdict[str, Sides] = defaultdict(Sides)
    for part in parts:
        for code, sides in part.items():
            total[code] = total[code].plus(sides)
    return dict(total)


def _tax_of_lines(days: Iterable[Span], opening: date) -> tuple[Balances, Balances]:
    """Return by account what including the tax changes: up to the day `opening`, and up to the last day."""
    until_opening: defaultdict[str, Sides] = defaultdict(Sides)
    until_closing: defaultdict[str, Sides] = defaultdict(Sides)
    for code, is_before, posted, beside in _read(days, opening):
        _move(until_closing, code, posted, beside)
        if is_before:
            _move(until_opening, code, posted, beside)
    return until_opening, until_closing


def _read(days: Iterable[Span], opening: date) -> Iterator[tuple[str, bool, Sides, Sides]]:
    """Yield by account, and whether the days are up to `opening`: the tax posted, the tax beside lines.

    A line of tax has tax beside it only where no other line could carry it; one of form 1 has all of it.
    """
    of_days = Q(pk__in=[])
    for first, last in days:
        of_days |= Q(entry__day__gte=first, entry__day__lte=last)
    is_form_1 = Q(tax_class__isnull=True, account_id__in=accounts.TAX_ACCOUNTS)
    is_tax = Q(tax_class=LineTaxClass.TAX) | is_form_1
    beside = Case(
        When(is_form_1, then=F("debit") + F("credit")),
        default=Coalesce(F("tax"), 0),
        output_field=IntegerField(),
    )
    is_before = Case(When(entry__day__lte=opening, then=Value(1)), default=Value(0))
    rows = (
        JournalLine.objects.filter(of_days)
        .filter(is_tax | ~Q(tax=0))
        .order_by()
        .annotate(is_before=is_before)
        .values("account_id", "is_before")
        .annotate(
            debit_posted=Coalesce(Sum("debit", filter=is_tax), 0),
            credit_posted=Coalesce(Sum("credit", filter=is_tax), 0),
            debit_beside=Coalesce(Sum(beside, filter=Q(debit__gt=0)), 0),
            credit_beside=Coalesce(Sum(beside, filter=Q(credit__gt=0)), 0),
        )
    )
    for row in rows:
        yield (
            row["account_id"],
            bool(row["is_before"]),
            Sides(row["debit_posted"], row["credit_posted"]),
            Sides(row["debit_beside"], row["credit_beside"]),
        )
