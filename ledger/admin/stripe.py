"""Stripe's events in the admin, with actions that process one again or set it aside."""

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin, ReadOnlyInline
from ledger.ingest import inbox
from ledger.models import SetAside, StripeEvent
from ledger.models.payments import StripeEventQuerySet

CHANGE_EVENT = "ledger.change_stripeevent"
ENDED_BY_CHOICE = (StripeEvent.Status.DONE, StripeEvent.Status.SET_ASIDE)  # no list action takes them up


class ReasonForm(forms.Form):
    """Text that says why an event is not to be processed."""

    reason = forms.CharField(
        label=gettext_lazy("reason"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("What does the event say, and what was done about it? The text is kept."),
    )


class SetAsideInline(ReadOnlyInline):
    """Who set the event aside, when and why."""

    model = SetAside
    fields = ("reason", "actor", "at")
    readonly_fields = fields


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
        "retry_at",
        "created",
        "received_at",
        "processed_at",
        "attempts",
        "claimed_until",
        "api_version",
        "content",
    )
    readonly_fields = ("content",)
    inlines = (SetAsideInline,)
    actions = ("process_again", "set_aside")
    actions_detail = ("process_this_again", "set_this_aside")

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
            StripeEvent.Status.UNHANDLED.value: "danger",
            StripeEvent.Status.SET_ASIDE.value: "info",
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
        for event_id in queryset.exclude(status__in=ENDED_BY_CHOICE).values_list("pk", flat=True):
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
            if StripeEvent.objects.filter(pk=object_id, status=StripeEvent.Status.UNHANDLED).exists():
                messages.warning(request, _("The shop does not handle this type of event yet."))
            else:
                messages.success(request, _("The event was processed."))
        elif StripeEvent.objects.filter(pk=object_id, status=StripeEvent.Status.DONE).exists():
            messages.info(request, _("The event is done already."))
        return HttpResponseRedirect(back)

    @admin.action(description=gettext_lazy("Set aside"), permissions=["process"])
    def set_aside(
        self, request: HttpRequest, queryset: StripeEventQuerySet[StripeEvent]
    ) -> HttpResponse | None:
        """Return the form that asks for a reason, or set the chosen events aside that need attention."""
        chosen = list(queryset.open().order_by("received_at").values_list("pk", "type"))
        if not chosen:
            messages.info(request, _("None of these events needs attention."))
            return None
        back = reverse("admin:ledger_stripeevent_changelist")
        return self._set_aside(request, chosen, back=back, is_confirmed="reason" in request.POST)

    @action(
        description=gettext_lazy("Set aside"),
        url_path="set-aside",
        icon="inventory_2",
        permissions=[CHANGE_EVENT],
    )
    def set_this_aside(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks for a reason, or set the event aside. Raises `Http404`."""
        event = self.get_object(request, object_id)
        if event is None or not self.has_view_permission(request, event):
            raise Http404
        back = reverse("admin:ledger_stripeevent_change", args=[object_id])
        if not StripeEvent.objects.open().filter(pk=object_id).exists():
            messages.info(request, _("This event needs no attention."))
            return HttpResponseRedirect(back)
        chosen = [(event.pk, event.type)]
        return self._set_aside(request, chosen, back=back, is_confirmed=request.method == "POST")

    def _set_aside(
        self, request: HttpRequest, chosen: list[tuple[str, str]], *, back: str, is_confirmed: bool
    ) -> HttpResponse:
        form = ReasonForm(request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            reason, actor = form.cleaned_data["reason"], request.user.get_username()
            count = sum(
                inbox.set_aside(event_id, reason=reason, actor=actor, now=timezone.now())
                for event_id, _type in chosen
            )
            messages.success(
                request,
                ngettext("%(count)d event was set aside.", "%(count)d events were set aside.", count)
                % {"count": count},
            )
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Set aside"),
            "opts": self.opts,
            "form": form,
            "chosen": chosen,
            "back": back,
        }
        return TemplateResponse(request, "ledger/admin/set_aside.html", context)

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the actions that this event allows: a done one has none, only an open one is set aside."""
        offered = super().get_actions_detail(request, object_id)
        event = self.get_object(request, str(object_id))  # the id comes from the URL: there may be none
        if not isinstance(event, StripeEvent):
            return offered
        if event.status == StripeEvent.Status.DONE:
            return []
        is_open = StripeEvent.objects.open().filter(pk=event.pk).exists()
        return offered if is_open else [one for one in offered if one.path != "set-aside"]

    def has_process_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may change events."""
        return request.user.has_perm(CHANGE_EVENT)

    def _process(self, request: HttpRequest, event_id: str) -> bool:
        """Process an event and return whether it was done now; show the user what failed."""
        try:
            return inbox.process(event_id, now=timezone.now(), again=True)
        except inbox.AlreadyClaimed:
            messages.warning(request, _("%(event)s is being processed at this moment.") % {"event": event_id})
        except Exception as error:  # of the handler, of any type: stored with the event, and shown
            messages.error(
                request,
                _("%(event)s failed: %(error)s")
                % {"event": event_id, "error": f"{type(error).__name__}: {error}"},
            )
        return False
