"""Papers of the books as files for a spreadsheet: UTF-8 with BOM, which Excel needs, and CRLF."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence

from ledger.books.general_ledger import LedgerRow, RowKind
from ledger.books.periods import DAYS, MONTH, YEAR
from ledger.books.trial_sheet import Sheet
from ledger.closing.evidence import escape_formula
from ledger.closing.late_entries import LateEntries

# what the balances before and at the end of a period are called
OPENING_NAMES = {MONTH: "前月残", YEAR: "前期残", DAYS: "前残"}
CLOSING_NAMES = {MONTH: "当月残", YEAR: "当期残", DAYS: "残高"}
LEDGER_COLUMNS = ("科目", "日付", "伝票No", "相手科目", "摘要", "借方", "貸方", "残高")
LATE_COLUMNS = (
    "出荷/発生日",
    "計上日",
    "伝票No",
    "注文番号",
    "区分",
    "取引先",
    "金額",
    "税",
    "提案仕訳",
    "翌期首の反対仕訳",
)

Cell = str | int | None


def trial_balance_file(sheet: Sheet) -> bytes:
    """Return a trial balance (合計残高試算表) as CSV; its last row is the sums of both sides."""
    kind = sheet.period.kind
    columns = ("コード", "科目", OPENING_NAMES[kind], "借方", "貸方", CLOSING_NAMES[kind], "期首来")
    rows: list[Sequence[Cell]] = [
        (
            row.code,
            row.name,
            row.written.opening,
            row.debit,
            row.credit,
            row.written.closing,
            row.written.year_to_date,
        )
        for row in sheet.rows
    ]
    return csv_file(columns, [*rows, ("", "合計", None, sheet.debit, sheet.credit, None, None)])


def ledgers_file(ledgers: Iterable[LedgerRow]) -> bytes:
    """Return ledgers (総勘定元帳) as CSV, with what is carried and the sums of each account."""
    return csv_file(
        LEDGER_COLUMNS,
        (
            (
                str(row.account),
                row.day.isoformat() if row.day and row.kind == RowKind.LINE else "",
                row.voucher,
                row.contra,
                row.text,
                row.debit,
                row.credit,
                row.balance,
            )
            for row in ledgers
        ),
    )


def late_entries_file(found: LateEntries) -> bytes:
    """Return the late entries (期ズレ一覧) as CSV, each with its closing entry and the reversal."""
    return csv_file(
        LATE_COLUMNS,
        (
            (
                entry.occurred_on.isoformat(),
                entry.day.isoformat(),
                entry.voucher,
                entry.order_number,
                entry.kind,
                entry.counterparty,
                entry.amount,
                entry.tax,
                str(entry.proposal),
                str(entry.proposal.reversed()),
            )
            for kind in found.kinds
            for entry in kind.entries
        ),
    )


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return rows as CSV; no cell of it is a formula to a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(
        [escape_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return codecs.BOM_UTF8 + text.getvalue().encode()
