"""Admin of staff accounts, job runs and heartbeats."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from auditlog.models import LogEntry
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import IntegerField
from django.forms import ModelMultipleChoiceField
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from kikaku.admin.columns import format_local_time, link, time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ops.models import Heartbeat, JobRun

if TYPE_CHECKING:  # Django's class takes its model in brackets for the type checker alone
    DjangoUserAdmin = BaseUserAdmin[User]
    PermissionModelField = ModelMultipleChoiceField[Permission]
else:
    DjangoUserAdmin = BaseUserAdmin
    PermissionModelField = ModelMultipleChoiceField

admin.site.unregister(User)
admin.site.unregister(Group)
# whoever edits its rows could choose what the worker calls; `ops.queue` refuses that too
for _model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


ACTIONS = {
    "add": gettext_lazy("add"),
    "change": gettext_lazy("change"),
    "delete": gettext_lazy("delete"),
    "view": gettext_lazy("view"),
}


class PermissionField(PermissionModelField):
    """A choice of permissions, named in Japanese; Django stores their names in English."""

    def label_from_instance(self, permission: Any) -> str:
        """Return app, model and action, such as 注文と帳簿 | 注文 | 閲覧."""
        action = permission.codename.removesuffix(f"_{permission.content_type.model}")
        return f"{permission.content_type} | {ACTIONS.get(action) or gettext(permission.name)}"


class PermissionChoicesMixin:
    """Admin whose field of permissions offers those alone that mean something in this admin."""

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Return the form field without the permissions for django-q2's tables."""
        if db_field.related_model is Permission:
            offered = Permission.objects.exclude(content_type__app_label="django_q")
            kwargs["queryset"] = offered.select_related("content_type")
            kwargs["form_class"] = PermissionField
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


@admin.register(User)
class UserAdmin(PermissionChoicesMixin, DjangoUserAdmin, ModelAdmin):
    """Admin of staff accounts, with unfold's templates."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(PermissionChoicesMixin, DjangoGroupAdmin, ModelAdmin):
    """Admin of staff groups, with unfold's templates."""


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    """Admin of job runs: when each job ran and what it reported."""

    list_display = (
        "job",
        time_column(JobRun, "scheduled_for"),
        time_column(JobRun, "started_at"),
        time_column(JobRun, "finished_at"),
        "succeeded",
        "message",
    )
    list_filter = ("job", "succeeded")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Admin of heartbeats: when each process wrote its last sign of life."""

    list_display = ("name", time_column(Heartbeat, "beat_at"), time_column(Heartbeat, "started_at"))


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


@admin.register(LogEntry)
class AuditAdmin(ReadOnlyAdmin):
    """Admin of the audit log: who changed what; auditlog's own is half in English."""

    date_hierarchy = "timestamp"
    list_select_related = ("content_type", "actor")
    list_display = ("at", "changed", "action", "names", "user")
    list_filter = ("action", ChangedModelFilter)
    search_fields = ("object_repr", "changes_text", "actor__username")
    fields = ("at", "user", "changed", "action", "values")
    readonly_fields = ("at", "user", "changed", "values")

    @display(description=gettext_lazy("at"), ordering="timestamp")
    def at(self, entry: Any) -> str:
        """Return when it was changed."""
        return format_local_time(entry.timestamp)

    @display(description=gettext_lazy("user"), ordering="actor__username")
    def user(self, entry: Any) -> str:
        """Return who changed it."""
        return entry.actor.get_username() if entry.actor else gettext("the system")

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
    return [
        (str(fields[name].verbose_name), _written(fields[name], before), _written(fields[name], after))
        for name, (before, after) in _pairs(entry)
        if name in fields and fields[name].editable and not fields[name].primary_key
    ]


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
