"""Admin of the audit log: who changed what."""

from collections.abc import Iterator
from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import IntegerField
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, gettext_lazy
from unfold.decorators import display

from kikaku.admin.columns import format_local_time, link
from kikaku.admin.readonly import ReadOnlyAdmin
from ops.people import audit as people_audit
from ops.people.names import permission_label


class ChangedModelFilter(admin.SimpleListFilter):
    """Filter by what was changed; each kind by its Japanese name."""

    title = gettext_lazy("what was changed")
    parameter_name = "resource_type"  # as auditlog's own filter, to which links may lead

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the kinds that have entries."""
        kinds = ContentType.objects.filter(pk__in=LogEntry.objects.values("content_type"))
        return sorted(((str(kind.pk), kind.name) for kind in kinds), key=lambda kind: kind[1])

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Return the entries of the chosen kind."""
        value = self.value() or ""
        return queryset.filter(content_type_id=value) if value.isdecimal() else queryset


admin.site.unregister(LogEntry)
people_audit.register()


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Admin of the audit log: who changed what; auditlog's own is half in English."""

    date_hierarchy = "timestamp"
    list_select_related = ("content_type", "actor")
    list_display = ("at", "changed", "action", "names", "user", "address")
    list_filter = ("action", ChangedModelFilter)
    search_fields = ("object_repr", "changes_text", "actor__username")
    fields = ("at", "user", "address", "changed", "action", "values")
    readonly_fields = ("at", "user", "address", "changed", "values")

    @display(description=gettext_lazy("at"), ordering="timestamp")
    def at(self, entry: Any) -> str:
        """Return when it was changed."""
        return format_local_time(entry.timestamp)

    @display(description=gettext_lazy("user"), ordering="actor__username")
    def user(self, entry: Any) -> str:
        """Return who changed it."""
        return entry.actor.get_username() if entry.actor else gettext("the system")

    @display(description=gettext_lazy("from where"), ordering="remote_addr")
    def address(self, entry: Any) -> str:
        """Return the address of the browser, empty for a command or a job."""
        return entry.remote_addr or "–"

    @display(description=gettext_lazy("what was changed"))
    def changed(self, entry: Any) -> str:
        """Return the row that was changed, as a link to its page where it has one."""
        name = f"{entry.content_type.name}: {entry.object_repr}"
        kind = f"{entry.content_type.app_label}_{entry.content_type.model}"
        try:
            page = reverse(f"admin:{kind}_change", args=[quote(entry.object_pk)])
        except NoReverseMatch:
            return name
        return link(page, name)

    @display(description=gettext_lazy("changes"))
    def names(self, entry: Any) -> str:
        """Return the names of the fields that were changed."""
        return ", ".join(name for name, _before, _after in changed_fields(entry))

    @display(description=gettext_lazy("changes"))
    def values(self, entry: Any) -> str:
        """Return what stood in each field before and after."""
        rows = format_html_join(
            "",
            '<tr><th scope="row" class="pr-4 text-left align-top">{}</th><td class="pr-4 align-top">{}</td>'
            '<td class="align-top">{}</td></tr>',
            changed_fields(entry),
        )
        heads = (gettext("field"), gettext("value before"), gettext("value after"))
        return format_html(
            '<table><thead><tr><th class="pr-4 text-left">{}</th><th class="pr-4 text-left">{}</th>'
            '<th class="text-left">{}</th></tr></thead><tbody>{}</tbody></table>',
            *heads,
            rows,
        )


def changed_fields(entry: Any) -> list[tuple[str, str, str]]:
    """Return name, old and new value of each field of an entry that a person can edit."""
    model = entry.content_type.model_class()
    fields = {field.name: field for field in model._meta.fields} if model else {}
    lists = {field.name: field for field in model._meta.many_to_many} if model else {}
    return [
        (str(lists[name].verbose_name), *_moved(lists[name], change))
        for name, change in entry.changes_dict.items()
        if name in lists and isinstance(change, dict)
    ] + [
        (str(fields[name].verbose_name), _written(fields[name], before), _written(fields[name], after))
        for name, (before, after) in _pairs(entry)
        if name in fields and fields[name].editable and not fields[name].primary_key
    ]


def _moved(field: Any, change: dict[str, Any]) -> tuple[str, str]:
    """Return what was taken from a list of rows and what was added to it, each name in Japanese."""
    names = change.get("objects", [])
    if field.related_model is Permission:
        names = [permission_label(name) for name in names]
    text = ", ".join(names)
    return ("–", text) if change.get("operation") == "add" else (text, "–")


def _pairs(entry: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield each field's name with its old and new value; relations to many rows are left out."""
    for name, change in entry.changes_dict.items():
        if isinstance(change, list | tuple):
            yield name, (change[0], change[1])


def _written(field: Any, value: Any) -> str:
    """Return a stored value as staff read it: a choice by its name, a number with separators."""
    text = str(value)
    if value is None or text in ("None", ""):
        return "–"
    if field.flatchoices:
        return str({str(key): label for key, label in field.flatchoices}.get(text, text))
    if isinstance(field, IntegerField) and text.lstrip("-").isdecimal():
        return f"{int(text):,}"
    return text
