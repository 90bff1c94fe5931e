"""Stripe's events in the admin, with actions that process failed ones again."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ledger.ingest import inbox
from ledger.models import StripeEvent
from ledger.models.payments import StripeEventQuerySet

CHANGE_EVENT = "ledger.change_stripeevent"


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    """Webhook events as Stripe sent them."""

    list_display = (
        "id",
        "type",
        "state",
        "attempts",
        time_column(StripeEvent, "received_at"),
        time_column(StripeEvent, "processed_at"),
    )
    list_filter = ("status", "type")
    search_fields = ("id", "type")
    fields = (
        "id",
        "type",
        "status",
        "last_error",
        "created",
        "received_at",
        "processed_at",
        "attempts",
        "claimed_until",
        "api_version",
        "content",
    )
    readonly_fields = ("content",)
    actions = ("process_again",)
    actions_detail = ("process_this_again",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the events; in the list without their payloads, which are large."""
        found = super().get_queryset(request)
        return found.defer("payload") if self.is_list_page(request) else found

    @display(
        description=gettext_lazy("status"),
        ordering="status",
        label={
            StripeEvent.Status.PENDING.value: "warning",
            StripeEvent.Status.DONE.value: "success",
            StripeEvent.Status.FAILED.value: "danger",
        },
    )
    def state(self, event: StripeEvent) -> tuple[str, str]:
        """Return a badge of the status."""
        return event.status, event.get_status_display()

    @display(description=gettext_lazy("content"))
    def content(self, event: StripeEvent) -> str:
        """Return the payload as indented JSON."""
        return format_html(
            '<pre style="white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px">{}</pre>',
            json.dumps(event.payload, ensure_ascii=False, indent=2),
        )

    @admin.action(description=gettext_lazy("Process again"), permissions=["process"])
    def process_again(self, request: HttpRequest, queryset: StripeEventQuerySet[StripeEvent]) -> None:
        """Process the chosen events that are not done."""
        done = 0
        for event_id in queryset.unprocessed().values_list("pk", flat=True):
            done += self._process(request, event_id)
        messages.info(
            request,
            ngettext("%(count)d event was processed.", "%(count)d events were processed.", done)
            % {"count": done},
        )

    @action(
        description=gettext_lazy("Process again"),
        url_path="process",
        icon="replay",
        permissions=[CHANGE_EVENT],
    )
    def process_this_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return a page that asks for confirmation, or process the event unless done. Raises `Http404`."""
        event = self.get_object(request, object_id)
        if event is None or not self.has_view_permission(request, event):
            raise Http404
        back = reverse("admin:ledger_stripeevent_change", args=[object_id])
        if request.method != "POST":
            question = _("Process the event %(event)s again? One that is done stays as it is.") % {
                "event": object_id
            }
            return self.confirm(request, title=_("Process again"), question=question, back=back)
        if self._process(request, object_id):
            messages.success(request, _("The event was processed."))
        elif StripeEvent.objects.filter(pk=object_id, status=StripeEvent.Status.DONE).exists():
            messages.info(request, _("The event is done already."))
        return HttpResponseRedirect(back)

    def has_process_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change events."""
        return request.user.has_perm(CHANGE_EVENT)

    def _process(self, request: HttpRequest, event_id: str) -> bool:
        """Process an event and return whether it was done now; show the user what failed."""
        try:
            return inbox.process(event_id, now=timezone.now())
        except inbox.AlreadyClaimed:
            messages.warning(request, _("%(event)s is being processed at this moment.") % {"event": event_id})
        except Exception as error:  # of the handler, of any type: stored with the event, and shown
            messages.error(
                request,
                _("%(event)s failed: %(error)s")
                % {"event": event_id, "error": f"{type(error).__name__}: {error}"},
            )
        return False
