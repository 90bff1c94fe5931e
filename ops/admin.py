"""Staff accounts, and what the worker did."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from ops.models import Heartbeat, JobRun

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    """Staff, in unfold's look."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of staff, in unfold's look."""


class TraceAdmin(ModelAdmin):
    """A trace that the worker left: to be read, not written."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds a trace by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nobody changes a trace."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Old traces are pruned by a job."""
        return False


@admin.register(JobRun)
class JobRunAdmin(TraceAdmin):
    """When each job ran and what it said."""

    list_display = ["job", "scheduled_for", "started_at", "finished_at", "succeeded", "message"]
    list_filter = ["job", "succeeded"]


@admin.register(Heartbeat)
class HeartbeatAdmin(TraceAdmin):
    """Who lives."""

    list_display = ["name", "beat_at", "started_at"]
