"""What waits and since when, and what of it is wrong: mails, events, refunds, jobs, the worker, the close."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Count, Max, Min, Q
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from kikaku import days
from ledger.models import DailyClose, Order, OutgoingMail, Refund, StripeEvent
from ops.jobs.schedule import JOBS, last_close_time
from ops.models import Heartbeat, JobRun

User = AbstractBaseUser | AnonymousUser | PermissionsMixin
HEARTBEAT_TIMEOUT = timedelta(minutes=2)  # a worker writes its heartbeat every 30 seconds
MAX_WAIT = timedelta(minutes=15)  # of a mail, an event or a refund; jobs take them up every minute
MAX_PERIODS = 3  # without a success a job is overdue
RECENT = timedelta(hours=4)  # holds three periods of every job but the close
CLOSE_DEADLINE = timedelta(hours=4)  # after midnight; the close runs at 01:00 and tries again by itself


@dataclass(frozen=True)
class Matter:
    """Something that waits, or does not work."""

    title: str
    figure: str  # how much of it
    since: datetime | None
    advice: str  # what to do
    url: str
    is_wrong: bool
    now: datetime

    @property
    def duration(self) -> str:
        """Return since when, and for how long; "" for nothing."""
        if self.since is None:
            return ""
        at = date_format(localtime(self.since), "n/j H:i")
        return _("since %(at)s (%(duration)s)") % {
            "at": at,
            "duration": timesince(self.since, self.now, depth=1),
        }


def worker(*, now: datetime) -> Matter:
    """Return whether the worker shows a sign of life. One query."""
    heartbeat = Heartbeat.objects.filter(name="worker").first()
    beat_at = heartbeat.beat_at if heartbeat else None
    is_silent = beat_at is None or now - beat_at > HEARTBEAT_TIMEOUT
    return Matter(
        _("Worker"),
        _("never seen") if beat_at is None else _("silent") if is_silent else _("running"),
        beat_at if is_silent else None,
        _("Start the worker again: without it no mail is sent, no refund leaves, and no day is closed."),
        reverse("admin:ops_heartbeat_changelist"),
        is_silent,
        now,
    )


def waiting(user: User, *, is_worker_silent: bool, now: datetime) -> list[Matter]:
    """Return what waits, of what a user may see; one query for each, and one more for jobs that are overdue.

    What is wrong because the worker is silent says so.
    """
    found: list[Matter] = []
    if user.has_perm("ledger.view_outgoingmail"):  # type: ignore[union-attr]
        found += _mails(is_worker_silent=is_worker_silent, now=now)
    if user.has_perm("ledger.view_stripeevent"):  # type: ignore[union-attr]
        found.append(_events(is_worker_silent=is_worker_silent, now=now))
    if user.has_perm("ledger.view_refund"):  # type: ignore[union-attr]
        found += _refunds(is_worker_silent=is_worker_silent, now=now)
    if user.has_perm("ops.view_jobrun"):  # type: ignore[union-attr]
        found.append(_jobs(is_worker_silent=is_worker_silent, now=now))
    return found


def _by_itself() -> str:
    return _("It goes on by itself as soon as the worker runs.")


def _mails(*, is_worker_silent: bool, now: datetime) -> list[Matter]:
    Status = OutgoingMail.Status
    counts = OutgoingMail.objects.filter(status__in=(Status.QUEUED, Status.FAILED)).aggregate(
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        oldest=Min("created_at", filter=Q(status=Status.QUEUED)),
        failed=Count("pk", filter=Q(status=Status.FAILED)),
        first_failed=Min("created_at", filter=Q(status=Status.FAILED)),
    )
    is_late = _is_late(counts["oldest"], now)
    advice = ""
    if is_late:
        advice = (
            _by_itself()
            if is_worker_silent
            else _("The mail server does not take them: look at it, and at EMAIL_URL. They are tried again.")
        )
    mails = reverse("admin:ledger_outgoingmail_changelist")
    found = [
        Matter(
            _("Mails to send"),
            str(counts["queued"]),
            counts["oldest"],
            advice,
            f"{mails}?status__exact=queued",
            is_late,
            now,
        )
    ]
    if counts["failed"]:
        found.append(
            Matter(
                _("Mails given up"),
                str(counts["failed"]),
                counts["first_failed"],
                _("Read the error, correct the address if it is wrong, and queue the mail again."),
                f"{mails}?status__exact=failed",
                True,
                now,
            )
        )
    return found


def _events(*, is_worker_silent: bool, now: datetime) -> Matter:
    counts = StripeEvent.objects.unprocessed().aggregate(
        count=Count("pk"),
        oldest=Min("received_at"),
        failed=Count("pk", filter=Q(status=StripeEvent.Status.FAILED)),
    )
    is_wrong = bool(counts["failed"]) or _is_late(counts["oldest"], now)
    advice = ""
    if counts["failed"]:
        advice = _("Read the error and process it again; until then orders may not show their payment.")
    elif is_wrong:
        advice = _by_itself() if is_worker_silent else _("Look at the runs of the jobs for an error.")
    figure = str(counts["count"])
    if counts["failed"]:
        figure = _("%(count)d (%(failed)d failed)") % counts
    return Matter(
        _("Events of Stripe to handle"),
        figure,
        counts["oldest"],
        advice,
        reverse("admin:ledger_stripeevent_changelist")
        + f"?status__exact={'failed' if counts['failed'] else 'pending'}",
        is_wrong,
        now,
    )


def _refunds(*, is_worker_silent: bool, now: datetime) -> list[Matter]:
    Status = Refund.Status
    counts = Refund.objects.in_progress().aggregate(
        requested=Count("pk", filter=Q(status=Status.REQUESTED)),
        oldest=Min("requested_at", filter=Q(status=Status.REQUESTED)),
        customer=Count("pk", filter=Q(status=Status.REQUIRES_ACTION)),
        first=Min("requested_at", filter=Q(status=Status.REQUIRES_ACTION)),
    )
    is_late = _is_late(counts["oldest"], now)
    advice = ""
    if is_late:
        advice = (
            _by_itself()
            if is_worker_silent
            else _("Stripe does not answer: look at its status page. They are sent by themselves.")
        )
    refunds = reverse("admin:ledger_refund_changelist")
    found = [
        Matter(
            _("Refunds to send"),
            str(counts["requested"]),
            counts["oldest"],
            advice,
            f"{refunds}?status__exact=requested",
            is_late,
            now,
        )
    ]
    if counts["customer"]:
        found.append(
            Matter(
                _("Refunds that wait for a bank account"),
                str(counts["customer"]),
                counts["first"],
                _("Stripe has asked the customer by mail. After weeks ask again, or agree on another way."),
                f"{refunds}?status__exact=requires_action",
                False,
                now,
            )
        )
    return found


def _jobs(*, is_worker_silent: bool, now: datetime) -> Matter:
    """Return which jobs have had no success for three of their periods; the close has a row of its own."""
    regular = {name: job.minutes for name, job in JOBS.items() if not job.until_done}
    succeeded = JobRun.objects.filter(succeeded=True).order_by().values_list("job")
    last: dict[str, datetime] = dict(
        succeeded.filter(scheduled_for__gte=now - RECENT).annotate(last=Max("finished_at"))
    )
    overdue = [
        name
        for name, minutes in regular.items()
        if name not in last or now - last[name] > timedelta(minutes=MAX_PERIODS * minutes)
    ]
    missing = [name for name in overdue if name not in last]
    if missing:
        last |= dict(succeeded.filter(job__in=missing).annotate(last=Max("finished_at")))
    known = [last[name] for name in overdue if name in last]
    names = [str(JobRun.Job(name).label) for name in overdue if name in JobRun.Job.values]
    advice = ""
    if overdue:
        advice = (
            _by_itself()
            if is_worker_silent
            else _("%(jobs)s: look at the runs for the error.") % {"jobs": "、".join(names)}
        )
    return Matter(
        _("Jobs that are overdue"),
        str(len(overdue)),
        min(known, default=None),
        advice,
        reverse("admin:ops_jobrun_changelist") + ("?succeeded__exact=0" if overdue else ""),
        bool(overdue),
        now,
    )


def missing_close(latest: DailyClose | None, *, now: datetime) -> Matter | None:
    """Return the days that should be closed by now and are not; None for none.

    `latest` is the last closed day. No query is made while all days are closed.
    """
    yesterday = days.yesterday(now)
    midnight = days.day_bounds(yesterday)[1]
    due = yesterday if now >= midnight + CLOSE_DEADLINE else yesterday - timedelta(days=1)
    if latest is None:
        first = Order.objects.aggregate(first=Min("placed_at"))["first"]
        first_open = days.business_day(first) if first is not None else None
    else:
        first_open = latest.day + timedelta(days=1)
    if first_open is None or first_open > due:
        return None
    slot = last_close_time(now)
    if JobRun.objects.filter(job="daily_close", scheduled_for=slot, succeeded=True).exists():
        return None  # it has run: what came up since is closed the next night
    return Matter(
        _("Days that are not closed"),
        str((due - first_open).days + 1),
        days.day_bounds(first_open)[1],
        _("The close tries again every ten minutes. If this stays, read the error of its runs."),
        reverse("admin:ops_jobrun_changelist") + "?job__exact=daily_close",
        True,
        now,
    )


def _is_late(since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since > MAX_WAIT
