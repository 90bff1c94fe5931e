"""Staff accounts, and what the worker did."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from ops.models import Heartbeat, JobRun

if TYPE_CHECKING:  # unfold brings no types; its classes are Django's

    class _UserAdmin(DjangoUserAdmin[User]): ...

    class _Unfold(admin.ModelAdmin[Any]): ...

else:
    from unfold.admin import ModelAdmin as _Unfold

    _UserAdmin = DjangoUserAdmin

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(_UserAdmin, _Unfold):
    """Staff, in unfold's look."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, _Unfold):
    """Groups of staff, in unfold's look."""


class TraceAdmin(_Unfold):
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
