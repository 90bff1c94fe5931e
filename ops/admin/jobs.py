"""Admin of job runs and heartbeats."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin
from ops.admin.operations import operations_page
from ops.models import Heartbeat, JobRun


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

    def get_urls(self) -> list[URLPattern]:
        """Return the admin's addresses and that of the operations page."""
        view = self.admin_site.admin_view(self.operations)
        return [path("operations/", view, name="ops_jobrun_operations"), *super().get_urls()]

    def operations(self, request: HttpRequest) -> HttpResponse:
        """Return the operations page, for who may see job runs."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return operations_page(request, {**self.admin_site.each_context(request), "opts": self.opts})


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Admin of heartbeats: when each process wrote its last sign of life."""

    list_display = ("name", time_column(Heartbeat, "beat_at"), time_column(Heartbeat, "started_at"))
