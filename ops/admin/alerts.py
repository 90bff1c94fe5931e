"""Admin of alerts: what went wrong, since when, and whether Slack was told."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display

from kikaku.admin.columns import link, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ops.alerts.kinds import KINDS, headline
from ops.models import Alert

LEVEL_COLOURS: Any = {  # unfold's types know texts only
    Alert.Level.INFO: "info",
    Alert.Level.WARNING: "warning",
    Alert.Level.CRITICAL: "danger",
}


class OngoingFilter(admin.SimpleListFilter):
    """Filter by whether an alert is over."""

    title = _("ongoing")
    parameter_name = "ongoing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the two choices."""
        return [("yes", _("ongoing")), ("no", _("over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        """Return the alerts that are chosen."""
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(over_at__isnull=self.value() == "yes")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """Admin of alerts."""

    list_display = (
        "what",
        "urgency",
        "count",
        time_column(Alert, "first_at"),
        time_column(Alert, "last_at"),
        time_column(Alert, "over_at"),
        "state",
    )
    list_filter = (OngoingFilter, "level", "state")
    search_fields = ("title", "subject", "text")
    fields = (
        "what",
        "level",
        "what_to_do",
        "details",
        "count",
        "first_at",
        "last_at",
        "over_at",
        "state",
        "tries",
        "sent_at",
        "error",
        "text",
    )
    readonly_fields = ("what", "what_to_do", "details")

    @display(description=_("alert"), ordering="title")
    def what(self, row: Alert) -> str:
        """Return the kind and what it is about."""
        return headline(row.kind, row.subject, row.fields)

    @display(description=_("level"), ordering="level", label=LEVEL_COLOURS)
    def urgency(self, row: Alert) -> tuple[int, str]:
        """Return the level."""
        return row.level, row.get_level_display()

    @display(description=_("what to do"))
    def what_to_do(self, row: Alert) -> str:
        """Return what to do, as a link to the page about it."""
        kind = KINDS.get(row.kind)
        return link(reverse(kind.page), str(kind.what_to_do)) if kind else "–"

    @display(description=_("details"))
    def details(self, row: Alert) -> str:
        """Return the fields of the log record."""
        lines = format_html_join("", "<dt>{}</dt><dd>{}</dd>", sorted(row.fields.items()))
        return format_html("<dl>{}</dl>", lines) if row.fields else "–"
