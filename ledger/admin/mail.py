"""Mails to customers in the admin: their content and state, and the action that sends one again."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ledger.models import OutgoingMail
from ledger.sales import mail

CHANGE_MAIL = "ledger.change_outgoingmail"


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    """Mails to customers."""

    list_display = (
        "subject",
        "to",
        "kind",
        "state",
        time_column(OutgoingMail, "created_at"),
        time_column(OutgoingMail, "sent_at"),
    )
    list_filter = ("status", "kind")
    search_fields = ("to", "subject", "order__number")
    fields = (
        "order",
        "to",
        "subject",
        "status",
        "sent_at",
        "as_html",
        "as_text",
        "language",
        "attempts",
        "next_attempt_at",
        "last_error",
    )
    readonly_fields = ("as_html", "as_text")
    actions_detail = ("send_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the mails; in the list without their bodies, which are large."""
        found = super().get_queryset(request)
        return found.defer("text", "html") if self.is_list_page(request) else found

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label={
            OutgoingMail.Status.QUEUED.value: "info",
            OutgoingMail.Status.SENT.value: "success",
            OutgoingMail.Status.FAILED.value: "danger",
        },
    )
    def state(self, row: OutgoingMail) -> tuple[str, str]:
        """Return a badge of the status."""
        return row.status, row.get_status_display()

    @display(description=gettext_lazy("as HTML"))
    def as_html(self, row: OutgoingMail) -> str:
        """Return the mail in a sandboxed frame, in which no script runs."""
        return format_html(
            '<iframe sandbox title="{}" srcdoc="{}"'
            ' style="width:100%;height:560px;border:0;background:#faf9f7"></iframe>',
            _("as HTML"),
            row.html,
        )

    @display(description=gettext_lazy("as text"))
    def as_text(self, row: OutgoingMail) -> str:
        """Return the plain text."""
        return format_html('<pre style="white-space:pre-wrap;overflow-wrap:anywhere">{}</pre>', row.text)

    @action(
        description=gettext_lazy("Send again"),
        url_path="send",
        icon="forward_to_inbox",
        permissions=[CHANGE_MAIL],
    )
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return a page that asks for confirmation, or queue the mail again. Raises `Http404`."""
        row = self.get_object(request, object_id)
        if not isinstance(row, OutgoingMail) or not self.has_view_permission(request, row):
            raise Http404
        back = reverse("admin:ledger_outgoingmail_change", args=[object_id])
        if request.method != "POST":
            question = _("Send “%(subject)s” to %(to)s again?") % {"subject": row.subject, "to": row.to}
            return self.confirm(request, title=_("Send again"), question=question, back=back)
        if mail.queue_again(row, actor=request.user.get_username(), now=timezone.now()):
            messages.success(request, _("The mail is queued and goes out within a minute."))
        else:
            messages.info(request, _("The mail is queued already."))
        return HttpResponseRedirect(back)
