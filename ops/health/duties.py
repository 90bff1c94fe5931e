"""What has not happened that should have: a silent worker, jobs without success, days that are not closed."""

from datetime import date, datetime, timedelta

from django.db.models import Max, Min, Q

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


def last_successes() -> dict[str, datetime | None]:
    """Return when each job that ever ran last succeeded; one query."""
    rows = JobRun.objects.values("job").annotate(last=Max("finished_at", filter=Q(succeeded=True)))
    return {row["job"]: row["last"] for row in rows.order_by("job")}


def overdue_jobs(*, now: datetime) -> dict[str, datetime]:
    """Return the jobs without success for three of their periods, and since when; one query.

    A job that never succeeded counts from its first run.
    """
    rows = (
        JobRun.objects.filter(job__in=JOBS)
        .values("job")
        .annotate(last=Max("finished_at", filter=Q(succeeded=True)), first=Min("started_at"))
        .order_by("job")
    )
    since = {row["job"]: row["last"] or row["first"] for row in rows}
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
    found = JobRun.objects.filter(job="backup").aggregate(
        last=Max("finished_at", filter=Q(succeeded=True)), first=Min("started_at")
    )
    at: datetime | None = found["last"] or found["first"]
    return at if at is not None and now - at > BACKUP_AGE else None
