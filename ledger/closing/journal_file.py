"""`journal.csv`: the journal of a closed day, in the form that the format of its evidence asks for.

A format is never changed: `verify_books` compares the file of a closed day with what its writer gives now.
"""

import codecs
import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from kikaku.days import JST
from ledger.books import posting
from ledger.books.accounts import split_name
from ledger.books.tax_labels import tax_label
from ledger.books.tax_rules import TaxRules
from ledger.closing.evidence import escape_formula, format_instant
from ledger.models import Account, JournalEntry, JournalLine
from ledger.models.books import voucher_number

ENTRIES_PER_QUERY = 100  # whose lines are read together: Cloudflare D1 binds no more parameters
LINES_PER_CHUNK = 1_000

Row = tuple[str, ...]


@dataclass(frozen=True, order=True)
class FileLine:
    """A line as a file has it, to be compared with the books."""

    entry: str  # as a finding names it
    position: int
    order: str
    account: str
    debit: str
    credit: str
    cells: Row  # all but the names of accounts, which staff may change


@dataclass(frozen=True)
class JournalFormat:
    """A form of the file."""

    columns: Row
    rows: Callable[[date, TaxRules, Iterable[Account]], Iterator[Row]]
    line: Callable[[Row, Counter[str]], FileLine]  # the counter is that of the lines read so far, by entry


def write(
    day: date, rules: TaxRules, *, evidence_format: int, chart: Iterable[Account] | None = None
) -> Iterator[bytes]:
    """Yield the day's journal: UTF-8 with BOM, so that Excel reads it, CRLF.

    `chart` are all accounts, where the caller has read them.
    """
    form = FORMATS[evidence_format]
    chart = Account.objects.all() if chart is None else chart
    yield from _file(form.columns, form.rows(day, rules, chart))


def write_period(first: date, last: date, rules: TaxRules) -> Iterator[bytes]:
    """Yield the journal of the days from `first` to `last` in the latest form, like `write`."""
    yield from _file(COLUMNS, _rows_of_days(first, last, rules, Account.objects.all()))


def _file(columns: Row, rows: Iterator[Row]) -> Iterator[bytes]:
    yield codecs.BOM_UTF8
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    while True:
        portion = list(islice(rows, LINES_PER_CHUNK))
        writer.writerows(portion)
        yield text.getvalue().encode()
        if not portion:
            return
        text.seek(0)
        text.truncate()


def read(content: bytes) -> list[Row]:
    """Return the rows of a file, without the header."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    return [tuple(row) for row in rows][1:]


def compared_lines(content: bytes, day: date, rules: TaxRules) -> tuple[set[FileLine], set[FileLine]]:
    """Return the lines of a stored file, and those that the books would give to a file of its form.

    Its columns tell the form: the manifest may be gone.
    """
    header = next(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")), [])
    form = FORMATS[1] if tuple(header) == COLUMNS_1 else FORMATS[2]
    stored = _lines(iter(read(content)), form)
    return stored, _lines(form.rows(day, rules, Account.objects.all()), form)


def _lines(rows: Iterator[Row], form: JournalFormat) -> set[FileLine]:
    counted: Counter[str] = Counter()
    return {form.line(row, counted) for row in rows}


def _portions(entries: QuerySet[Any, Any], *fields: str) -> Iterator[tuple[list[Any], dict[int, list[Any]]]]:
    """Yield entries, whose first value is their key, and the lines of each by this key."""
    rows = entries.iterator(ENTRIES_PER_QUERY)
    while portion := list(islice(rows, ENTRIES_PER_QUERY)):
        lines: defaultdict[int, list[Any]] = defaultdict(list)
        for entry_id, *values in (
            JournalLine.objects.filter(entry__in=[pk for pk, *_rest in portion])
            .order_by("entry", "position")
            .values_list("entry_id", *fields)
        ):
            lines[entry_id].append(values)
        yield portion, lines


# ── Format 2 ─────────────────────────────────────────────────────────────────────────────────────────────

COLUMNS = (
    "伝票No",
    "計上日",
    "発生日時(JST)",
    "入力日時",
    "借方科目コード",
    "借方科目",
    "借方補助",
    "貸方科目コード",
    "貸方科目",
    "貸方補助",
    "金額",
    "税区分",
    "税額",
    "取引先",
    "摘要",
    "注文番号",
    "証憑(txn/出荷/返金ID)",
    "反対仕訳No",
    "取込バッチNo",
)
ENTRY_FIELDS = (
    "pk",
    "day",
    "fiscal_year",
    "occurred_at",
    "created_at",
    "source_type",
    "source_id",
    "counterparty",
    "description",
    "order__number",
    "reverses",
    "reverses__fiscal_year",
    "reverses__day",
)
# how the id of our own documents is written, beside Stripe's ids
DOCUMENTS: Mapping[str, str] = {
    posting.SHIPMENT_SOURCE: "出荷 {}",
    posting.REFUND_SOURCE: "返金 {}",
    posting.ENTRY_SOURCE: "仕訳 {}",
    posting.KEPT_MONEY_SOURCE: "振替 {}",
}
NO_ACCOUNT = ("", "", "")
NOT_EXPORTED = ""  # 取込バッチNo: of the batch in which an entry went to an accounting program


def document_of(source_type: str, source_id: str) -> str:
    """Return the document behind an entry: an id at Stripe, a parcel, a refund, or the entry it reverses."""
    return DOCUMENTS.get(source_type, "{}").format(source_id)


def format_jst(instant: datetime) -> str:
    """Return an instant in Japanese time with its offset, to the second."""
    return instant.astimezone(JST).isoformat(timespec="seconds")


def _rows(day: date, rules: TaxRules, chart: Iterable[Account]) -> Iterator[Row]:
    return _rows_of_days(day, day, rules, chart)


def _rows_of_days(first: date, last: date, rules: TaxRules, chart: Iterable[Account]) -> Iterator[Row]:
    """Yield a row for each line of some days, by day in the order of the voucher numbers."""
    accounts = {
        each.code: tuple(escape_formula(cell) for cell in (each.code, *split_name(each.name_ja)))
        for each in chart
    }
    entries = JournalEntry.objects.filter(day__gte=first, day__lte=last).order_by("day", "pk")
    labels: dict[tuple[str | None, int | None, int | None], str] = {}
    fields = ("account_id", "debit", "credit", "tax_class", "tax_rate", "tax")
    for portion, lines in _portions(entries.values_list(*ENTRY_FIELDS), *fields):
        for (
            pk,
            day,
            year,
            occurred_at,
            created_at,
            source,
            source_id,
            party,
            text,
            order,
            *of_reversed,
        ) in portion:
            reversed_pk, reversed_year, reversed_day = of_reversed
            business_type = rules.status_on(day).business_type if rules.statuses else None
            head = (
                voucher_number(pk, year, day),
                day.isoformat(),
                format_jst(occurred_at),
                format_jst(created_at),
            )
            tail = (
                escape_formula(party or ""),
                escape_formula(text),
                escape_formula(order or ""),
                escape_formula(document_of(source, source_id)),
                voucher_number(reversed_pk, reversed_year, reversed_day) if reversed_pk else "",
                NOT_EXPORTED,
            )
            for code, debit, credit, tax_class, rate, tax in lines[pk]:
                kind = (tax_class, rate, business_type)
                if kind not in labels:
                    labels[kind] = tax_label(*kind)
                sides = (accounts[code], NO_ACCOUNT) if debit else (NO_ACCOUNT, accounts[code])
                yield (
                    *head,
                    *sides[0],
                    *sides[1],
                    str(debit or credit),
                    labels[kind],
                    "" if tax is None else str(tax),
                    *tail,
                )


def _line(row: Row, counted: Counter[str]) -> FileLine:
    cells = dict(zip(COLUMNS, row, strict=True))
    voucher = cells["伝票No"]
    counted[voucher] += 1
    debit, credit = cells["借方科目コード"], cells["貸方科目コード"]
    return FileLine(
        entry=f"voucher {voucher} {cells['証憑(txn/出荷/返金ID)']}",
        position=counted[voucher],
        order=cells["注文番号"],
        account=debit or credit,
        debit=cells["金額"] if debit else "0",
        credit=cells["金額"] if credit else "0",
        cells=tuple(cell for name, cell in cells.items() if name not in NAMES_OF_ACCOUNTS),
    )


NAMES_OF_ACCOUNTS = {"借方科目", "借方補助", "貸方科目", "貸方補助"}


# ── Format 1 ─────────────────────────────────────────────────────────────────────────────────────────────

COLUMNS_1 = (
    "day",
    "occurred_at",
    "source_type",
    "source_id",
    "purpose",
    "order",
    "description",
    "position",
    "account",
    "account_name",
    "debit",
    "credit",
)


def _rows_1(day: date, rules: TaxRules, chart: Iterable[Account]) -> Iterator[Row]:
    """Yield a row for each line of the day, in an order that depends on the facts alone."""
    accounts = {each.code: (escape_formula(each.code), escape_formula(each.name_ja)) for each in chart}
    entries = (
        JournalEntry.objects.filter(day=day)
        .order_by("occurred_at", "source_type", "source_id", "purpose")
        .values_list(
            "pk", "occurred_at", "source_type", "source_id", "purpose", "order__number", "description"
        )
    )
    for portion, lines in _portions(entries, "position", "account_id", "debit", "credit"):
        for pk, occurred_at, *texts in portion:
            entry = (
                day.isoformat(),
                format_instant(occurred_at),
                *(escape_formula(text or "") for text in texts),
            )
            for position, code, debit, credit in lines[pk]:
                yield *entry, str(position), *accounts[code], str(debit), str(credit)


def _line_1(row: Row, counted: Counter[str]) -> FileLine:
    _day, _at, kind, source, purpose, order, _text, position, account, _name, debit, credit = row
    name = COLUMNS_1.index("account_name")
    return FileLine(
        entry=f"{kind} {source} {purpose}",
        position=int(position),
        order=order,
        account=account,
        debit=debit,
        credit=credit,
        cells=row[:name] + row[name + 1 :],
    )


FORMATS: Mapping[int, JournalFormat] = {  # by the format of the evidence
    1: JournalFormat(COLUMNS_1, _rows_1, _line_1),
    2: JournalFormat(COLUMNS, _rows, _line),
}
