"""Discrepancies in the admin: found by the system, resolved by staff with a reason."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
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
from ledger.admin.advice import advice
from ledger.admin.references import links_of
from ledger.books import discrepancies
from ledger.closing.findings import discrepancy_object
from ledger.models import Discrepancy

RESOLVE = "ledger.resolve_discrepancy"


class ResolutionForm(forms.Form):
    """Text that says how a discrepancy was resolved."""

    resolution = forms.CharField(
        label=gettext_lazy("resolution"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("What was the cause, and what was done? The books keep your text as it is."),
    )


class StateFilter(admin.SimpleListFilter):
    """Filter: what waits for a person, what is resolved, or what was handled automatically."""

    title = gettext_lazy("status")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("open", _("unresolved")), ("resolved", _("resolved"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Discrepancy]) -> QuerySet[Discrepancy]:
        """Return the rows of the chosen state."""
        if self.value() == "open":
            return queryset & Discrepancy.objects.unresolved()
        return queryset.filter(resolved_at__isnull=False) if self.value() == "resolved" else queryset


class CategoryFilter(admin.SimpleListFilter):
    """Filter: differences, tasks or notices."""

    title = gettext_lazy("classification")
    parameter_name = "category"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [(category.value, str(category.label)) for category in Discrepancy.Category]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Discrepancy]) -> QuerySet[Discrepancy]:
        """Return the rows of the chosen category."""
        chosen = [category for category in Discrepancy.Category if category == self.value()]
        return queryset & Discrepancy.objects.of_category(*chosen) if chosen else queryset


@admin.register(Discrepancy)
class DiscrepancyAdmin(ReadOnlyAdmin):
    """Discrepancies, with the action that resolves one."""

    list_display = (
        day_column(Discrepancy, "day"),
        "category_badge",
        "kind",
        "amount_yen",
        "state",
        "object_name",
        time_column(Discrepancy, "created_at"),
    )
    list_filter = (StateFilter, CategoryFilter, "kind")
    search_fields = ("object_id", "detail")
    date_hierarchy = "day"
    fields = (
        "day",
        "category_name",
        "kind",
        "object_name",
        "links",
        "amount_yen",
        "detail",
        "to_be_done",
        "progress",
        "resolution",
        "resolved_by",
        "resolved_at",
        "created_at",
    )
    readonly_fields = ("to_be_done", "object_name", "category_name", "links", "amount_yen", "progress")
    actions_detail = ("resolve",)

    @display(description=gettext_lazy("to be done now"))
    def to_be_done(self, row: Discrepancy) -> str:
        """Return what it asks of staff by what has happened since; a dash when we cannot know."""
        return advice(row) or "–"

    @display(description=gettext_lazy("object"), ordering="object_id")
    def object_name(self, row: Discrepancy) -> str:
        """Return the object: an id at Stripe, an order number, or what a check names."""
        return discrepancy_object(row.kind, row.object_id)

    @display(description=gettext_lazy("belongs to"))
    def links(self, row: Discrepancy) -> str:
        """Return links to order, payment, refund, entries and Stripe."""
        return links_of(row.object_id)

    @display(description=gettext_lazy("difference"), ordering="amount")
    def amount_yen(self, row: Discrepancy) -> str:
        """Return the difference in yen."""
        return yen(row.amount)

    @display(
        description=gettext_lazy("classification"),
        label={"difference": "danger", "to_do": "warning", "notice": "info"},
    )
    def category_badge(self, row: Discrepancy) -> tuple[str, str]:
        """Return a badge: difference, task or notice."""
        return row.category.value, str(row.category.label)

    @display(description=gettext_lazy("classification"))
    def category_name(self, row: Discrepancy) -> str:
        """Return in words whether it is a difference, a task or a notice."""
        return str(row.category.label)

    @display(
        description=gettext_lazy("status"),
        ordering="resolved_at",
        label={"open": "danger", "resolved": "success", "handled": "info"},
    )
    def state(self, row: Discrepancy) -> tuple[str, str]:
        """Return a badge: resolved, waiting for a person, or handled automatically."""
        if row.resolved_at:
            return "resolved", _("resolved")
        return ("open", _("unresolved")) if row.needs_person else ("handled", _("handled automatically"))

    @display(description=gettext_lazy("status"))
    def progress(self, row: Discrepancy) -> str:
        """Return in words whether it is resolved."""
        return str(self.state(row)[1])

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        """Return the action that resolves, unless the discrepancy is resolved or needs no person."""
        offered = super().get_actions_detail(request, object_id)
        row = self.get_object(request, str(object_id))  # the id comes from the URL: there may be no such row
        return [] if isinstance(row, Discrepancy) and not row.needs_person else offered

    @action(
        description=gettext_lazy("Resolve"),
        url_path="resolve",
        icon="task_alt",
        variant=ActionVariant.PRIMARY,
        permissions=[RESOLVE],
    )
    def resolve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return the form that asks how it was resolved, or resolve it. Raises `Http404`."""
        row = self.get_object(request, object_id)
        if not isinstance(row, Discrepancy):
            raise Http404
        back = reverse("admin:ledger_discrepancy_change", args=[row.pk])
        if not row.needs_person:
            is_resolved = row.resolved_at is not None
            messages.info(
                request,
                _("This discrepancy is resolved already.")
                if is_resolved
                else _("Nothing is to be done here."),
            )
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
            "object_name": discrepancy_object(row.kind, row.object_id),
            "amount": yen(row.amount),
            "back": back,
        }
        return TemplateResponse(request, "ledger/admin/resolve.html", context)
