"""The books in the admin: accounts may be added, discrepancies resolved with a reason; everything else is to be read."""

import mimetypes
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from kikaku.admin.columns import LINK_CLASSES, day_column, time_column
from kikaku.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from kikaku.admin.resubmission import retry_on_duplicate
from kikaku.money import yen
from ledger.books import discrepancies, posting
from ledger.closing import evidence
from ledger.models import Account, DailyClose, Discrepancy, EvidenceFile, JournalEntry, JournalLine

CHANGE_DISCREPANCY = "ledger.change_discrepancy"


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """The chart of accounts: staff may add an account and rename one; none is deleted."""

    list_display = ("code", "name_ja", "name_en", "type", "tax_class")
    list_filter = ("type",)
    search_fields = ("code", "name_ja", "name_en")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow by Django's permission."""
        return request.user.has_perm("ledger.add_account")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow by Django's permission."""
        return request.user.has_perm("ledger.change_account")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Keep what entries stand on: code and type of an account that exists."""
        return ("code", "type") if obj is not None else ()

    @retry_on_duplicate
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Add or rename an account."""
        return super().changeform_view(request, *args, **kwargs)


class JournalLineInline(ReadOnlyInline):
    """The lines of an entry."""

    model = JournalLine
    hide_title = True
    fields = ("account", "debit_yen", "credit_yen")
    readonly_fields = ("debit_yen", "credit_yen")
    ordering = ("position",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Bring the account's name along."""
        return super().get_queryset(request).select_related("account")

    @display(description=gettext_lazy("debit"))
    def debit_yen(self, line: JournalLine) -> str:
        """Show the debit side."""
        return yen(line.debit) if line.debit else ""

    @display(description=gettext_lazy("credit"))
    def credit_yen(self, line: JournalLine) -> str:
        """Show the credit side."""
        return yen(line.credit) if line.credit else ""


# what an entry stands on, in words
SOURCES: dict[str, Any] = {
    posting.BALANCE_TRANSACTION_SOURCE: gettext_lazy("balance transaction"),
    posting.SHIPMENT_SOURCE: gettext_lazy("shipment"),
    posting.REFUND_SOURCE: gettext_lazy("refund"),
    posting.ENTRY_SOURCE: gettext_lazy("journal entry"),
}


class SourceFilter(admin.SimpleListFilter):
    """What an entry stands on."""

    title = gettext_lazy("source")
    parameter_name = "source_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Name the sources."""
        return list(SOURCES.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the entries of the source."""
        return queryset.filter(source_type=self.value()) if self.value() else queryset


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    """The journal."""

    list_display = (
        day_column(JournalEntry, "day"),
        "description",
        "amount",
        "order",
        "source",
        time_column(JournalEntry, "occurred_at"),
    )
    list_filter = (SourceFilter,)
    list_select_related = ("order",)
    search_fields = ("source_id", "order__number", "description")
    date_hierarchy = "day"
    fields = (
        "day",
        "description",
        "order",
        "source",
        "source_id",
        "reverses",
        "occurred_at",
        "created_at",
    )
    readonly_fields = ("source",)
    inlines = (JournalLineInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Bring the sum of a side along."""
        found: QuerySet[Any] = super().get_queryset(request).annotate(sum_of_a_side=Sum("lines__debit"))
        return found

    @display(description=gettext_lazy("source"), ordering="source_type")
    def source(self, entry: JournalEntry) -> str:
        """Say what the entry stands on."""
        return str(SOURCES.get(entry.source_type, entry.source_type))

    @display(description=gettext_lazy("amount"))
    def amount(self, entry: Any) -> str:
        """Show the sum of a side."""
        return yen(entry.sum_of_a_side or 0)


@admin.register(DailyClose)
class DailyCloseAdmin(ReadOnlyAdmin):
    """Closed days, each with its evidence to be read and kept."""

    list_display = (
        day_column(DailyClose, "day"),
        "result",
        "stripe_yen",
        "book_yen",
        "report",
        time_column(DailyClose, "closed_at"),
    )
    date_hierarchy = "day"
    fields = (
        "day",
        "outcome",
        "stripe_yen",
        "book_yen",
        "report",
        "found",
        "files",
        "run",
        "closed_at",
        "manifest_sha256",
        "previous_sha256",
    )
    readonly_fields = ("outcome", "stripe_yen", "book_yen", "files", "found", "report")

    def get_urls(self) -> list[URLPattern]:
        """Add the address at which a file of evidence is read."""
        return [
            path(
                "<str:day>/evidence/<str:name>",
                self.admin_site.admin_view(self.evidence_file),
                name="ledger_dailyclose_evidence",
            ),
            *super().get_urls(),
        ]

    @display(
        description=gettext_lazy("result"),
        label={"clean": "success", "differences": "danger"},
    )
    def result(self, close: DailyClose) -> tuple[str, str]:
        """Show the differences as a coloured word."""
        if not close.differences:
            return "clean", _("no differences")
        return "differences", _("%(count)d differences") % {"count": close.differences}

    @display(description=gettext_lazy("result"))
    def outcome(self, close: DailyClose) -> str:
        """Show the differences in words."""
        return str(self.result(close)[1])

    @display(description=gettext_lazy("Stripe balance at the cut"), ordering="stripe_balance")
    def stripe_yen(self, close: DailyClose) -> str:
        """Show Stripe's balance."""
        return yen(close.stripe_balance)

    @display(description=gettext_lazy("account 1150 at the cut"), ordering="book_balance")
    def book_yen(self, close: DailyClose) -> str:
        """Show our balance."""
        return yen(close.book_balance)

    @display(description=gettext_lazy("report"))
    def report(self, close: DailyClose) -> str:
        """Link to the report that a person reads."""
        return format_html(
            '<a class="{}" href="{}" target="_blank" rel="noopener">{}</a>',
            LINK_CLASSES,
            self._address(close, "report.html"),
            _("Open the report"),
        )

    @display(description=gettext_lazy("evidence files"))
    def files(self, close: DailyClose) -> SafeString:
        """Link to each file, with its fingerprint."""
        rows = [
            (LINK_CLASSES, self._address(close, name), name, f"{file.size:,} B", file.sha256)
            for file in close.files.all()
            if (name := file.path.rsplit("/", 1)[-1])
        ]
        return format_html_join(
            "",
            '<div class="mb-2"><a class="{}" href="{}" target="_blank" rel="noopener">{}</a> {}'
            '<br><small class="break-all">SHA-256 {}</small></div>',
            rows,
        )

    @display(description=gettext_lazy("discrepancies"))
    def found(self, close: DailyClose) -> SafeString | str:
        """Link to what was found for the day."""
        rows = [
            (
                LINK_CLASSES,
                reverse("admin:ledger_discrepancy_change", args=[row.pk]),
                row.get_kind_display(),
                row.object_id,
                yen(row.amount),
                _("resolved") if row.resolved_at else _("unresolved"),
            )
            for row in Discrepancy.objects.filter(day=close.day)
        ]
        return format_html_join("", '<div><a class="{}" href="{}">{}</a> {} {} ({})</div>', rows) or _("none")

    def evidence_file(self, request: HttpRequest, day: str, name: str) -> FileResponse:
        """Answer with a file of evidence, to those who may see closes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        file = EvidenceFile.objects.filter(
            path__startswith=f"daily-close/{day}/", path__endswith=f"/{name}"
        ).first()
        if file is None:
            raise Http404
        try:
            content = evidence.storage().open(file.path, "rb")
        except FileNotFoundError:
            raise Http404(_("The file is not where it was put: run verify_books.")) from None
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        shown = kind in ("text/html", "application/json")
        answer = FileResponse(
            content,
            as_attachment=not shown,
            filename=f"{day}-{name}",
            content_type=f"{kind}; charset=utf-8",
        )
        answer["Cache-Control"] = "private, no-store"
        return answer

    def _address(self, close: DailyClose, name: str) -> str:
        return reverse("admin:ledger_dailyclose_evidence", args=[close.day.isoformat(), name])


class ResolutionForm(forms.Form):
    """How a discrepancy was resolved."""

    resolution = forms.CharField(
        label=gettext_lazy("resolution"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("What was the cause, and what was done? It stands in the books as written."),
    )


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyAdmin):
    """What does not add up, and the button that says how it was resolved."""

    list_display = (
        day_column(Discrepancy, "day"),
        "kind",
        "amount_yen",
        "state",
        "object_id",
        time_column(Discrepancy, "created_at"),
    )
    list_filter = (("resolved_at", admin.EmptyFieldListFilter), "kind")
    search_fields = ("object_id", "detail")
    date_hierarchy = "day"
    fields = (
        "day",
        "kind",
        "object_id",
        "amount_yen",
        "detail",
        "progress",
        "resolution",
        "resolved_by",
        "resolved_at",
        "created_at",
    )
    readonly_fields = ("amount_yen", "progress")
    actions_detail = ("resolve",)

    @display(description=gettext_lazy("difference"), ordering="amount")
    def amount_yen(self, row: Discrepancy) -> str:
        """Show the difference."""
        return yen(row.amount)

    @display(
        description=gettext_lazy("status"),
        ordering="resolved_at",
        label={"open": "danger", "resolved": "success"},
    )
    def state(self, row: Discrepancy) -> tuple[str, str]:
        """Show the state as a coloured word."""
        return ("resolved", _("resolved")) if row.resolved_at else ("open", _("unresolved"))

    @display(description=gettext_lazy("status"))
    def progress(self, row: Discrepancy) -> str:
        """Show the state in words."""
        return str(self.state(row)[1])

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Offer to resolve what is not resolved."""
        offered = super().get_actions_detail(request, object_id)
        row = self.get_object(request, str(object_id))  # the address may name anything
        return [] if isinstance(row, Discrepancy) and row.resolved_at is not None else offered

    @action(
        description=gettext_lazy("Resolve"),
        url_path="resolve",
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_DISCREPANCY],
    )
    def resolve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask how the discrepancy was resolved; a text is required."""
        row = self.get_object(request, object_id)
        if not isinstance(row, Discrepancy):
            raise Http404
        back = reverse("admin:ledger_discrepancy_change", args=[row.pk])
        if row.resolved_at is not None:
            messages.info(request, _("This discrepancy is resolved already."))
            return HttpResponseRedirect(back)
        form = ResolutionForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            if discrepancies.resolve(
                row,
                resolution=form.cleaned_data["resolution"],
                actor=request.user.get_username(),
                now=timezone.now(),
            ):
                messages.success(request, _("The discrepancy is resolved."))
            else:
                messages.info(request, _("This discrepancy is resolved already."))
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Resolve a discrepancy"),
            "opts": self.opts,
            "form": form,
            "row": row,
            "amount": yen(row.amount),
            "back": back,
        }
        return TemplateResponse(request, "ledger/admin/resolve.html", context)
