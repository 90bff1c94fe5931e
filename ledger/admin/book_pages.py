"""Journal, trial balance, ledgers and late entries, for a month, a fiscal year or any days.

The title says what the trial balance is of: it is not that of the company.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from ledger.admin.papers import PaperPages, View
from ledger.books import journal_book
from ledger.books.general_ledger import LedgerRow, RowKind, read_ledgers
from ledger.books.periods import Period
from ledger.books.tax_rules import TaxRules
from ledger.books.trial_sheet import TITLE, printed_sheet
from ledger.closing import journal_file, late_entries
from ledger.closing.paper_files import late_entries_file, ledgers_file, trial_balance_file
from ledger.models import Account

LINES_ON_A_PAGE = 2_000  # of a journal or a ledger with more the page has the sums alone


def in_last_month(today: date) -> date:
    """Return the last day of the month before that of a day."""
    return today.replace(day=1) - timedelta(days=1)


class BookPages(PaperPages):
    """The papers of the books, beside the list of entries."""

    def papers(self) -> dict[str, tuple[str, View]]:
        """Return the papers by the name of their address."""
        return {
            "journal": ("journal/", self.journal_page),
            "journal_csv": ("journal.csv", self.journal_csv),
            "trial_balance": ("trial-balance/", self.trial_balance_page),
            "trial_balance_csv": ("trial-balance.csv", self.trial_balance_csv),
            "ledger": ("ledger/<slug:code>/", self.ledger_page),
            "ledger_csv": ("ledger/<slug:code>.csv", self.ledger_csv),
            "ledgers_csv": ("ledgers.csv", self.ledgers_csv),
            "late": ("late/", self.late_entries_page),
            "late_csv": ("late.csv", self.late_entries_csv),
        }

    def journal_page(self, request: HttpRequest) -> HttpResponse:
        """Return the journal of a period as a book."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {
                "book": journal_book.read(period, rules, max_lines=LINES_ON_A_PAGE),
                **status_of(period, rules),
            }

        return self.page_of_period(
            request, "ledger/admin/journal_book.html", {"title": journal_book.TITLE}, read
        )

    def journal_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the journal of a period in the form of a close's file."""
        return self.file_of_period(
            request,
            journal_book.TITLE,
            lambda period, rules: b"".join(journal_file.write_period(period.first, period.last, rules)),
        )

    def trial_balance_page(self, request: HttpRequest) -> HttpResponse:
        """Return the trial balance of a period."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"sheet": printed_sheet(period, rules), **status_of(period, rules)}

        return self.page_of_period(request, "ledger/admin/trial_balance.html", {"title": TITLE}, read)

    def ledger_page(self, request: HttpRequest, code: str) -> HttpResponse:
        """Return the ledger of an account in a period. Raises `Http404`."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {**shorten(read_ledgers(period, rules, code)), **status_of(period, rules)}

        title = f"総勘定元帳　{self._account(code)}"
        return self.page_of_period(request, "ledger/admin/ledger.html", {"title": title, "code": code}, read)

    def trial_balance_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the trial balance of a period as a file."""
        return self.file_of_period(
            request,
            "合計残高試算表",
            lambda period, rules: trial_balance_file(printed_sheet(period, rules)),
        )

    def ledger_csv(self, request: HttpRequest, code: str) -> HttpResponse:
        """Return the ledger of an account as a file. Raises `Http404`."""
        self._account(code)
        return self.file_of_period(
            request,
            f"総勘定元帳_{code}",
            lambda period, rules: ledgers_file(read_ledgers(period, rules, code)),
        )

    def ledgers_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the ledgers of all accounts as one file."""
        return self.file_of_period(
            request, "総勘定元帳", lambda period, rules: ledgers_file(read_ledgers(period, rules))
        )

    def late_entries_page(self, request: HttpRequest) -> HttpResponse:
        """Return what the end of a period lacks; of the last month by default."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"found": late_entries.read(period, rules), **status_of(period, rules)}

        context = {"title": late_entries.TITLE}
        return self.page_of_period(
            request, "ledger/admin/late_entries.html", context, read, default_day=in_last_month
        )

    def late_entries_csv(self, request: HttpRequest) -> HttpResponse:
        """Return what the end of a period lacks as a file."""
        return self.file_of_period(
            request,
            late_entries.TITLE,
            lambda period, rules: late_entries_file(late_entries.read(period, rules)),
            default_day=in_last_month,
        )

    def _account(self, code: str) -> Account:
        account = Account.objects.filter(pk=code).first()
        if account is None:
            raise Http404
        return account


def status_of(period: Period, rules: TaxRules) -> dict[str, Any]:
    """Return what a paper says of its period: the tax status, and whether days of it are still open."""
    closed = rules.last_closed
    if closed is not None and closed >= period.last:
        return {"status": rules.status_on(period.last)}
    return {
        "status": rules.status_on(period.last),
        "is_open": True,
        "closed": closed if closed and closed >= period.first else None,
    }


def shorten(ledger: Iterable[LedgerRow]) -> dict[str, Any]:
    """Return the rows for a page; of a ledger with too many lines the sums alone, and the number of lines."""
    rows: list[LedgerRow] = []
    lines = 0
    for row in ledger:
        lines += row.kind == RowKind.LINE
        if row.kind != RowKind.LINE or lines <= LINES_ON_A_PAGE:
            rows.append(row)
    if lines <= LINES_ON_A_PAGE:
        return {"rows": rows}
    return {"rows": [row for row in rows if row.kind != RowKind.LINE], "left_out": lines}
