"""Admin of staff accounts, job runs and heartbeats."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
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


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Admin of staff accounts, with unfold's templates."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
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
