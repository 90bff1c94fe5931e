"""Admin of staff accounts, job runs and heartbeats."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from kikaku.admin.readonly import ReadOnlyAdmin
from ops.models import Heartbeat, JobRun

if TYPE_CHECKING:  # Django's class takes its model in brackets for the type checker alone
    DjangoUserAdmin = BaseUserAdmin[User]
else:
    DjangoUserAdmin = BaseUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)
# whoever edits its rows could choose what the worker calls; `ops.queue` refuses that too
for _model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


class PermissionChoicesMixin:
    """Admin whose field of permissions offers those alone that mean something in this admin."""

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Return the form field without the permissions for django-q2's tables."""
        if db_field.related_model is Permission:
            offered = Permission.objects.exclude(content_type__app_label="django_q")
            kwargs["queryset"] = offered.select_related("content_type")
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

    list_display = ["job", "scheduled_for", "started_at", "finished_at", "succeeded", "message"]
    list_filter = ["job", "succeeded"]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Admin of heartbeats: when each process wrote its last sign of life."""

    list_display = ["name", "beat_at", "started_at"]
