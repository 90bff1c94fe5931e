"""Discrepancies in the admin: found by the system, resolved by staff with a reason."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from kikaku.admin.columns import day_column, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from kikaku.money import yen
from ledger.books import discrepancies
from ledger.models import Discrepancy

CHANGE_DISCREPANCY = "ledger.change_discrepancy"


class ResolutionForm(forms.Form):
    """Text that says how a discrepancy was resolved."""

    resolution = forms.CharField(
        label=gettext_lazy("resolution"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("What was the cause, and what was done? The books keep your text as it is."),
    )


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyAdmin):
    """Discrepancies, with the action that resolves one."""

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
        """Return the difference in yen."""
        return yen(row.amount)

    @display(
        description=gettext_lazy("status"),
        ordering="resolved_at",
        label={"open": "danger", "resolved": "success"},
    )
    def state(self, row: Discrepancy) -> tuple[str, str]:
        """Return a badge: resolved or not."""
        return ("resolved", _("resolved")) if row.resolved_at else ("open", _("unresolved"))

    @display(description=gettext_lazy("status"))
    def progress(self, row: Discrepancy) -> str:
        """Return in words whether it is resolved."""
        return str(self.state(row)[1])

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the action that resolves, unless the discrepancy is resolved."""
        offered = super().get_actions_detail(request, object_id)
        row = self.get_object(request, str(object_id))  # the id comes from the URL: there may be no such row
        return [] if isinstance(row, Discrepancy) and row.resolved_at is not None else offered

    @action(
        description=gettext_lazy("Resolve"),
        url_path="resolve",
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        permissions=[CHANGE_DISCREPANCY],
    )
    def resolve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks how it was resolved, or resolve it. Raises `Http404`."""
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
