"""Papers beside a list of the admin: pages that print on A4, and files for a spreadsheet."""

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Min
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import content_disposition_header

from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.days import business_day
from ledger.books.periods import Period, fiscal_years, read_period
from ledger.books.tax_rules import TaxRules, TaxStatusMissing, load_tax_rules
from ledger.books.trial_sheet import PeriodAcrossYears
from ledger.models import JournalEntry

REFUSALS = (ValidationError, TaxStatusMissing, PeriodAcrossYears)  # each says what to enter

EXPORT = "ledger.export_books"  # beside the right to see the rows, for what is saved as a file

View = Callable[..., HttpResponse]


class PaperPages(ReadOnlyAdmin):
    """Admin with papers beside its list, for who may see its rows; files also need the right to export."""

    def papers(self) -> dict[str, tuple[str, View]]:
        """Return the papers by the name of their address: address and view."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses and those of the papers."""
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            *(
                path(
                    address, self.admin_site.admin_view(self._permitted(name, view)), name=f"{prefix}_{name}"
                )
                for name, (address, view) in self.papers().items()
            ),
            *super().get_urls(),
        ]

    def _permitted(self, name: str, view: View) -> View:
        @wraps(view)
        def permitted(request: HttpRequest, **arguments: str) -> HttpResponse:
            is_file = name.endswith("_csv")
            if not self.has_view_permission(request) or (is_file and not request.user.has_perm(EXPORT)):
                raise PermissionDenied
            return view(request, **arguments)

        return permitted

    def page_of_period(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        read: Callable[[Period, TaxRules], dict[str, Any]],
        *,
        default_day: Callable[[date], date] = lambda today: today,
    ) -> HttpResponse:
        """Return a page about the period that the request asks for, by default the month of `default_day`."""
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
            context |= read(period, rules)
        except REFUSALS as error:
            context |= {"error": message_of(error)}
            return TemplateResponse(request, template, context, status=400)
        return TemplateResponse(request, template, context)

    def file_of_period(
        self,
        request: HttpRequest,
        name: str,
        content: Callable[[Period, TaxRules], bytes],
        *,
        default_day: Callable[[date], date] = lambda today: today,
    ) -> HttpResponse:
        """Return a CSV file about the period that the request asks for, as `page_of_period` does."""
        rules = load_tax_rules()
        try:
            today = business_day(timezone.now())
            period = read_period(request.GET, today=default_day(today), rules=rules)
            found = content(period, rules)
        except REFUSALS as error:
            return HttpResponse(message_of(error), status=400, content_type="text/plain; charset=utf-8")
        return csv_response(found, f"{name}_{period.first}_{period.last}.csv")


def csv_response(content: bytes, file_name: str) -> HttpResponse:
    """Return a file to be saved, which no cache keeps: it holds names of customers."""
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": content_disposition_header(True, file_name),
            "Cache-Control": "private, no-store",
        },
    )


def years_of_books(rules: TaxRules, today: date) -> list[Period]:
    """Return the fiscal years that have entries, the latest first; none without a tax status. One query."""
    first: date | None = JournalEntry.objects.aggregate(first=Min("day"))["first"]
    if first is None or not rules.statuses:
        return []
    return fiscal_years(first, max(first, today), rules)


def message_of(error: Exception) -> str:
    """Return what a refusal says."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
