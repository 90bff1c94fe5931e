"""Admin of job runs and heartbeats."""

from django.contrib import admin

from kikaku.admin.columns import time_column
from kikaku.admin.readonly import ReadOnlyAdmin
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


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """Admin of heartbeats: when each process wrote its last sign of life."""

    list_display = ("name", time_column(Heartbeat, "beat_at"), time_column(Heartbeat, "started_at"))
