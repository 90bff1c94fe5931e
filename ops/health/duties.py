"""What has not happened that should have: a silent worker, jobs without success, days that are not closed."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Subquery

from kikaku import days
from ledger.closing import daily_close
from ops.jobs.schedule import JOBS, has_activity, last_close_time
from ops.models import Heartbeat, JobRun

SILENCE = timedelta(minutes=2)  # a worker writes its heartbeat every 30 seconds
PERIODS = 3  # of a job without success
BACKUP_AGE = timedelta(days=8)  # of the last weekly backup
CLOSE_GRACE = timedelta(hours=3)  # after 01:00 in Japan, for the close and its repetitions


def worker_since(*, now: datetime) -> datetime | None:
    """Return since when the worker runs; None if it is silent or was never there."""
    row = Heartbeat.objects.filter(name=Heartbeat.Process.WORKER, beat_at__gte=now - SILENCE).first()
    return row.started_at if row is not None else None


def last_worker_beat() -> datetime | None:
    """Return the last sign of life of a worker."""
    row = Heartbeat.objects.filter(name=Heartbeat.Process.WORKER).first()
    return row.beat_at if row is not None else None


@dataclass(frozen=True)
class Runs:
    """The first run of a job, and its last success."""

    first: datetime
    last_success: datetime | None


def job_runs() -> dict[str, Runs]:
    """Return the runs of each job that ever ran, in one query.

    It reads a few rows of each job by the index over job and time: there are tens of thousands of runs.
    """
    wanted: dict[str, Any] = {}
    for name in sorted(JOBS):
        runs = JobRun.objects.filter(job=name)
        wanted[f"{name}_first"] = Subquery(runs.order_by("scheduled_for").values("started_at")[:1])
        successes = runs.filter(succeeded=True).order_by("-scheduled_for")
        wanted[f"{name}_success"] = Subquery(successes.values("finished_at")[:1])
    found: dict[str, Any] = dict(JobRun.objects.order_by("pk").values(**wanted).first() or {})
    return {
        name: Runs(found[f"{name}_first"], found[f"{name}_success"])
        for name in sorted(JOBS)
        if found.get(f"{name}_first")
    }


def last_successes() -> dict[str, datetime | None]:
    """Return when each job that ever ran last succeeded; one query."""
    return {name: runs.last_success for name, runs in job_runs().items()}


def overdue_jobs(*, now: datetime) -> dict[str, datetime]:
    """Return the jobs without success for three of their periods, and since when; one query.

    A job that never succeeded counts from its first run.
    """
    since = {name: runs.last_success or runs.first for name, runs in job_runs().items()}
    return {name: at for name, at in since.items() if at < now - PERIODS * JOBS[name].period}


def missing_days(*, now: datetime) -> list[date]:
    """Return the days that should be closed by now, oldest first.

    None while nothing has happened yet, and none once tonight's close has run: the next night closes what
    came up since.
    """
    until = days.yesterday(last_close_time(now - CLOSE_GRACE))
    missing = daily_close.open_days(until) if has_activity(until) else []
    run = JobRun.objects.filter(job="daily_close", scheduled_for=last_close_time(now), succeeded=True)
    return [] if not missing or run.exists() else missing


def last_backup_if_old(*, now: datetime) -> datetime | None:
    """Return when the last backup was made, or first tried, if that is too long ago; one query."""
    runs = job_runs().get("backup")
    at = (runs.last_success or runs.first) if runs is not None else None
    return at if at is not None and now - at > BACKUP_AGE else None
