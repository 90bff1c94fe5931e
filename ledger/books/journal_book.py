"""仕訳帳: the entries of a period in the order of their vouchers, each with its debits beside its credits."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest

from django.db.models import Count, QuerySet, Sum

from kikaku.days import business_day
from ledger.books.periods import Period
from ledger.books.tax_labels import tax_label
from ledger.books.tax_rules import TaxRules
from ledger.models import Account, JournalEntry, JournalLine

TITLE = "仕訳帳"


@dataclass(frozen=True)
class BookLine:
    """One side of an entry (JPY)."""

    account: str  # its code and name
    amount: int
    tax_label: str  # 税区分; empty in entries of form 1
    tax: int | None  # beside the amount; None in entries of form 1


@dataclass(frozen=True)
class BookEntry:
    """An entry as the book has it."""

    entry_id: int
    voucher: str
    day: date
    occurred_on: date  # JST; an earlier day when the fact became known late
    counterparty: str
    description: str
    rows: tuple[tuple[BookLine | None, BookLine | None], ...]  # debit, credit


@dataclass(frozen=True)
class JournalBook:
    """The entries of a period, or none when they have more lines than asked for; the sums are of all."""

    entries: tuple[BookEntry, ...]
    lines: int
    debit: int
    credit: int


def read(period: Period, rules: TaxRules, *, max_lines: int) -> JournalBook:
    """Return the journal of a period. Four queries."""
    lines = JournalLine.objects.filter(entry__day__gte=period.first, entry__day__lte=period.last)
    sums = lines.aggregate(count=Count("pk"), debit=Sum("debit"), credit=Sum("credit"))
    return JournalBook(
        entries=tuple(_entries(lines, period, rules)) if sums["count"] <= max_lines else (),
        lines=sums["count"],
        debit=sums["debit"] or 0,
        credit=sums["credit"] or 0,
    )


def _entries(found: QuerySet[JournalLine], period: Period, rules: TaxRules) -> list[BookEntry]:
    accounts = {account.code: str(account) for account in Account.objects.all()}
    lines: defaultdict[int, list[JournalLine]] = defaultdict(list)
    for line in found.order_by("entry_id", "position"):
        lines[line.entry_id].append(line)
    entries = JournalEntry.objects.filter(day__gte=period.first, day__lte=period.last)
    return [
        BookEntry(
            entry_id=entry.pk,
            voucher=entry.voucher,
            day=entry.day,
            occurred_on=business_day(entry.occurred_at),
            counterparty=entry.counterparty or "",
            description=entry.description,
            rows=_side_by_side(lines[entry.pk], accounts, rules.status_on(entry.day).business_type),
        )
        for entry in entries.order_by("day", "pk")
    ]


def _side_by_side(
    lines: Sequence[JournalLine], accounts: dict[str, str], business_type: int | None
) -> tuple[tuple[BookLine | None, BookLine | None], ...]:
    """Return the lines of an entry in rows of a debit and a credit; the shorter side ends with None."""

    def book_line(line: JournalLine) -> BookLine:
        label = tax_label(line.tax_class, line.tax_rate, business_type)
        return BookLine(accounts[line.account_id], line.debit or line.credit, label, line.tax)

    debits = [book_line(line) for line in lines if line.debit]
    credits_ = [book_line(line) for line in lines if line.credit]
    return tuple(zip_longest(debits, credits_))
