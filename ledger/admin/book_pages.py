"""Journal, trial balance, ledgers and late entries: pages that print on A4, and files for a spreadsheet.

The title says what the trial balance is of: it is not that of the company.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Min
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import content_disposition_header

from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.days import business_day
from ledger.books import journal_book
from ledger.books.general_ledger import LedgerRow, RowKind, read_ledgers
from ledger.books.periods import Period, fiscal_years, read_period
from ledger.books.tax_rules import TaxRules, TaxStatusMissing, load_tax_rules
from ledger.books.trial_sheet import TITLE, PeriodAcrossYears, printed_sheet
from ledger.closing import journal_file, late_entries
from ledger.closing.paper_files import late_entries_file, ledgers_file, trial_balance_file
from ledger.models import Account, JournalEntry

LINES_ON_A_PAGE = 2_000  # of a journal or a ledger with more the page has the sums alone
REFUSALS = (ValidationError, TaxStatusMissing, PeriodAcrossYears)  # each says what to enter

View = Callable[..., HttpResponse]


def years_of_books(rules: TaxRules, today: date) -> list[Period]:
    """Return the fiscal years that have entries, the latest first; none without a tax status. One query."""
    first: date | None = JournalEntry.objects.aggregate(first=Min("day"))["first"]
    if first is None or not rules.statuses:
        return []
    return fiscal_years(first, max(first, today), rules)


def in_last_month(today: date) -> date:
    """Return the last day of the month before that of a day."""
    return today.replace(day=1) - timedelta(days=1)


def message_of(error: Exception) -> str:
    """Return what a refusal says."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


class BookPages(ReadOnlyAdmin):
    """The papers of the books, beside the journal; for who may see its entries."""

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses and those of the papers."""
        pages: dict[str, tuple[str, View]] = {
            "journal": ("journal/", self.journal_page),
            "journal_csv": ("journal.csv", self.journal_csv),
            "trial_balance": ("trial-balance/", self.trial_balance_page),
            "trial_balance_csv": ("trial-balance.csv", self.trial_balance_csv),
            "ledger": ("ledger/<str:code>/", self.ledger_page),
            "ledger_csv": ("ledger/<str:code>.csv", self.ledger_csv),
            "ledgers_csv": ("ledgers.csv", self.ledgers_csv),
            "late": ("late/", self.late_entries_page),
            "late_csv": ("late.csv", self.late_entries_csv),
        }
        return [
            *(
                path(address, self.admin_site.admin_view(view), name=f"ledger_journalentry_{name}")
                for name, (address, view) in pages.items()
            ),
            *super().get_urls(),
        ]

    def journal_page(self, request: HttpRequest) -> HttpResponse:
        """Return the journal of a period as a book. Raises `PermissionDenied`."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"book": journal_book.read(period, rules, max_lines=LINES_ON_A_PAGE)}

        return self._page(request, "ledger/admin/journal_book.html", {"title": journal_book.TITLE}, read)

    def journal_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the journal of a period in the form of a close's file. Raises `PermissionDenied`."""
        return self._file(
            request,
            journal_book.TITLE,
            lambda period, rules: b"".join(journal_file.write_period(period.first, period.last, rules)),
        )

    def trial_balance_page(self, request: HttpRequest) -> HttpResponse:
        """Return the trial balance of a period. Raises `PermissionDenied`."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"sheet": printed_sheet(period, rules)}

        return self._page(request, "ledger/admin/trial_balance.html", {"title": TITLE}, read)

    def ledger_page(self, request: HttpRequest, code: str) -> HttpResponse:
        """Return the ledger of an account in a period. Raises `PermissionDenied`, `Http404`."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return shorten(read_ledgers(period, rules, code))

        title = f"総勘定元帳　{self._account(request, code)}"
        return self._page(request, "ledger/admin/ledger.html", {"title": title, "code": code}, read)

    def trial_balance_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the trial balance of a period as a file. Raises `PermissionDenied`."""
        return self._file(
            request,
            "合計残高試算表",
            lambda period, rules: trial_balance_file(printed_sheet(period, rules)),
        )

    def ledger_csv(self, request: HttpRequest, code: str) -> HttpResponse:
        """Return the ledger of an account as a file. Raises `PermissionDenied`, `Http404`."""
        self._account(request, code)
        return self._file(
            request,
            f"総勘定元帳_{code}",
            lambda period, rules: ledgers_file(read_ledgers(period, rules, code)),
        )

    def ledgers_csv(self, request: HttpRequest) -> HttpResponse:
        """Return the ledgers of all accounts as one file. Raises `PermissionDenied`."""
        return self._file(
            request, "総勘定元帳", lambda period, rules: ledgers_file(read_ledgers(period, rules))
        )

    def late_entries_page(self, request: HttpRequest) -> HttpResponse:
        """Return what the end of a period lacks; of the last month by default. Raises `PermissionDenied`."""

        def read(period: Period, rules: TaxRules) -> dict[str, Any]:
            return {"found": late_entries.read(period, rules)}

        context = {"title": late_entries.TITLE}
        return self._page(request, "ledger/admin/late_entries.html", context, read, default_day=in_last_month)

    def late_entries_csv(self, request: HttpRequest) -> HttpResponse:
        """Return what the end of a period lacks as a file. Raises `PermissionDenied`."""
        return self._file(
            request,
            late_entries.TITLE,
            lambda period, rules: late_entries_file(late_entries.read(period, rules)),
            default_day=in_last_month,
        )

    def _account(self, request: HttpRequest, code: str) -> Account:
        self._require_permission(request)
        account = Account.objects.filter(pk=code).first()
        if account is None:
            raise Http404
        return account

    def _require_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        read: Callable[[Period, TaxRules], dict[str, Any]],
        *,
        default_day: Callable[[date], date] = lambda today: today,
    ) -> HttpResponse:
        """Return a page about the period that the request asks for, by default the month of `default_day`."""
        self._require_permission(request)
        today = business_day(timezone.now())
        rules = load_tax_rules()
        context = {
            **self.admin_site.each_context(request),
            **context,
            "opts": self.opts,
            "years": years_of_books(rules, today),
            "today": today,
        }
        try:
            period = read_period(request.GET, today=default_day(today), rules=rules)
            context |= {"period": period, "query": urlencode(period.parameters)}
            context |= {**read(period, rules), "status": rules.status_on(period.last)}
        except REFUSALS as error:
            context |= {"error": message_of(error)}
            return TemplateResponse(request, template, context, status=400)
        closed = rules.last_closed
        if closed is None or closed < period.last:
            context |= {"is_open": True, "closed": closed if closed and closed >= period.first else None}
        return TemplateResponse(request, template, context)

    def _file(
        self,
        request: HttpRequest,
        name: str,
        content: Callable[[Period, TaxRules], bytes],
        *,
        default_day: Callable[[date], date] = lambda today: today,
    ) -> HttpResponse:
        self._require_permission(request)
        rules = load_tax_rules()
        try:
            today = business_day(timezone.now())
            period = read_period(request.GET, today=default_day(today), rules=rules)
            found = content(period, rules)
        except REFUSALS as error:
            return HttpResponse(message_of(error), status=400, content_type="text/plain; charset=utf-8")
        file_name = f"{name}_{period.first}_{period.last}.csv"
        return HttpResponse(
            found,
            content_type="text/csv; charset=utf-8",
            headers={
                "Content-Disposition": content_disposition_header(True, file_name),
                "Cache-Control": "private, no-store",
            },
        )


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
