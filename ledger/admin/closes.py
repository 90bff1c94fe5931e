"""Closed days in the admin, each with its report and its evidence files."""

import mimetypes

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from kikaku.admin.columns import LINK_CLASSES, day_column, link, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.money import yen
from ledger.admin.papers import EXPORT
from ledger.closing import evidence
from ledger.closing.findings import discrepancy_object
from ledger.models import DailyClose, Discrepancy, EvidenceFile, JournalEntry


def _discrepancy_state(row: Discrepancy) -> str:
    if row.needs_person:
        return f"{row.category.label}, {_('unresolved')}"
    return f"{row.category.label}, {_('resolved')}" if row.resolved_at else str(row.category.label)


@admin.register(DailyClose)
class DailyCloseAdmin(ReadOnlyAdmin):
    """Closed days with their results, reports and evidence files."""

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
        "entries",
        "files",
        "run",
        "closed_at",
        "manifest_sha256",
        "previous_sha256",
    )
    readonly_fields = ("outcome", "stripe_yen", "book_yen", "files", "found", "entries", "report")

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses and that of an evidence file."""
        return [
            path(
                "<str:day>/evidence/<str:name>",
                self.admin_site.admin_view(self.evidence_file),
                name="ledger_dailyclose_evidence",
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DailyClose]:
        """Return the closed days, each with the number of its differences that are not resolved."""
        differences = Discrepancy.objects.unresolved().of_category(Discrepancy.Category.DIFFERENCE)
        of_day = differences.filter(day=OuterRef("day")).order_by().values("day")
        still_open = of_day.annotate(count=Count("pk")).values("count")
        rows: QuerySet[DailyClose] = super().get_queryset(request)
        return rows.annotate(still_open=Coalesce(Subquery(still_open), 0))

    @display(
        description=gettext_lazy("result"),
        label={"clean": "success", "resolved": "info", "differences": "danger"},
    )
    def result(self, close: DailyClose) -> tuple[str, str]:
        """Return a badge: whether there are differences that are not resolved."""
        if still_open := getattr(close, "still_open", 0):
            return "differences", _("%(count)d differences") % {"count": still_open}
        if close.differences:
            return "resolved", _("%(count)d differences, all resolved") % {"count": close.differences}
        return "clean", _("no differences")

    @display(description=gettext_lazy("result"))
    def outcome(self, close: DailyClose) -> str:
        """Return in words whether the close found differences."""
        return str(self.result(close)[1])

    @display(description=gettext_lazy("Stripe balance at the cut"), ordering="stripe_balance")
    def stripe_yen(self, close: DailyClose) -> str:
        """Return Stripe's balance at the end of the day."""
        return yen(close.stripe_balance)

    @display(description=gettext_lazy("account 1150 at the cut"), ordering="book_balance")
    def book_yen(self, close: DailyClose) -> str:
        """Return the balance of account 1150 at the end of the day."""
        return yen(close.book_balance)

    @display(description=gettext_lazy("report"))
    def report(self, close: DailyClose) -> str:
        """Return a link to the report."""
        return link(self._address(close, "report.html"), _("Open the report"), new_tab=True)

    @display(description=gettext_lazy("evidence files"))
    def files(self, close: DailyClose) -> SafeString:
        """Return a link to each evidence file, with its size and SHA-256."""
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
        """Return a link to each discrepancy of the day."""
        rows = [
            (
                LINK_CLASSES,
                reverse("admin:ledger_discrepancy_change", args=[row.pk]),
                row.get_kind_display(),
                discrepancy_object(row.kind, row.object_id),
                yen(row.amount),
                _discrepancy_state(row),
            )
            for row in Discrepancy.objects.filter(day=close.day)
        ]
        return format_html_join("", '<div><a class="{}" href="{}">{}</a> {} {} ({})</div>', rows) or _("none")

    @display(description=gettext_lazy("Journal entries"))
    def entries(self, close: DailyClose) -> SafeString | str:
        """Return the number of the day's entries and their vouchers, linked to the list of them."""
        entries = JournalEntry.objects.filter(day=close.day).order_by("pk")
        first, last = entries.first(), entries.last()
        if first is None or last is None:
            return _("none")
        days = urlencode({"day_from": str(close.day), "day_to": str(close.day)})
        address = f"{reverse('admin:ledger_journalentry_changelist')}?{days}"
        vouchers = {"count": entries.count(), "first": first.voucher, "last": last.voucher}
        return link(address, _("%(count)d (%(first)s to %(last)s)") % vouchers)

    def evidence_file(self, request: HttpRequest, day: str, name: str) -> HttpResponseBase:
        """Return an evidence file; on R2, for a file that is saved, the redirect to a fresh signed link.

        Our own address never grows old, since it makes a new link each time.

        Raises:
            PermissionDenied, Http404.
        """
        is_report = name == "report.html"  # read on the screen; the others are saved
        if not self.has_view_permission(request) or not (is_report or request.user.has_perm(EXPORT)):
            raise PermissionDenied
        file = EvidenceFile.objects.filter(
            path__startswith=f"daily-close/{day}/", path__endswith=f"/{name}"
        ).first()
        if file is None:
            raise Http404
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        is_inline = content_type in ("text/html", "application/json")
        filename, content_type = f"{day}-{name}", f"{content_type}; charset=utf-8"
        storage = evidence.storage()
        download_link = None if is_inline else getattr(storage, "download_link", None)
        response: HttpResponseBase
        try:
            if download_link is None:
                content = storage.open(file.path, "rb")
                response = FileResponse(
                    content, as_attachment=not is_inline, filename=filename, content_type=content_type
                )
            elif storage.exists(file.path):
                link_to_r2 = download_link(file.path, filename=filename, content_type=content_type)
                response = HttpResponseRedirect(link_to_r2)
            else:
                raise FileNotFoundError
        except FileNotFoundError:
            raise Http404(_("The file is not where it was put: run verify_books.")) from None
        response["Cache-Control"] = "private, no-store"
        return response

    def _address(self, close: DailyClose, name: str) -> str:
        return reverse("admin:ledger_dailyclose_evidence", args=[close.day.isoformat(), name])
