"""What waits and since when, and what of it is wrong: mails, events, refunds, jobs, the worker, the close."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin
from django.db.models import Count, Min, Q
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timesince import timesince
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from kikaku import days
from ledger.models import DailyClose, OutgoingMail, Refund, StripeEvent
from ops.health import duties
from ops.models import Alert, JobRun

User = AbstractBaseUser | AnonymousUser | PermissionsMixin
MAX_WAIT = timedelta(minutes=15)  # of a mail, an event or a refund; jobs take them up every minute


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
    beat_at = duties.last_worker_beat()
    is_silent = beat_at is None or now - beat_at > duties.SILENCE
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
    """Return what waits, of what a user may see; one query for each.

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
    if user.has_perm("ops.view_alert"):  # type: ignore[union-attr]
        found.append(_alerts(is_worker_silent=is_worker_silent, now=now))
    return found


def _advice(otherwise: str, *, is_wrong: bool, is_worker_silent: bool) -> str:
    """Return what to do: nothing, wait for the worker if its silence is the reason, else `otherwise`."""
    if not is_wrong:
        return ""
    return _("It goes on by itself as soon as the worker runs.") if is_worker_silent else otherwise


def _to_send(
    title: str, count: int, since: datetime | None, advice: str, page: str, *, is_silent: bool, now: datetime
) -> Matter:
    """Return what waits to be sent; it is wrong when the oldest waits too long."""
    is_late = _is_late(since, now)
    advice = _advice(advice, is_wrong=is_late, is_worker_silent=is_silent)
    return Matter(title, str(count), since, advice, page, is_late, now)


def _mails(*, is_worker_silent: bool, now: datetime) -> list[Matter]:
    Status = OutgoingMail.Status
    counts = OutgoingMail.objects.filter(status__in=(Status.QUEUED, Status.FAILED)).aggregate(
        queued=Count("pk", filter=Q(status=Status.QUEUED)),
        oldest=Min("created_at", filter=Q(status=Status.QUEUED)),
        failed=Count("pk", filter=Q(status=Status.FAILED)),
        first_failed=Min("created_at", filter=Q(status=Status.FAILED)),
    )
    mails = reverse("admin:ledger_outgoingmail_changelist")
    found = [
        _to_send(
            _("Mails to send"),
            counts["queued"],
            counts["oldest"],
            _("The mail server does not take them: look at it, and at EMAIL_URL. They are tried again."),
            f"{mails}?status__exact=queued",
            is_silent=is_worker_silent,
            now=now,
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
    figure = str(counts["count"])
    advice = _advice(
        _("Look at the runs of the jobs for an error."), is_wrong=is_wrong, is_worker_silent=is_worker_silent
    )
    if counts["failed"]:
        figure = _("%(count)d (%(failed)d failed)") % counts
        advice = _("Read the error and process it again; until then orders may not show their payment.")
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
    refunds = reverse("admin:ledger_refund_changelist")
    found = [
        _to_send(
            _("Refunds to send"),
            counts["requested"],
            counts["oldest"],
            _("Stripe does not answer: look at its status page. They are sent by themselves."),
            f"{refunds}?status__exact=requested",
            is_silent=is_worker_silent,
            now=now,
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
    overdue = duties.overdue_jobs(now=now)
    overdue.pop("daily_close", None)
    names = [str(JobRun.Job(name).label) for name in overdue]
    advice = _advice(
        _("%(jobs)s: look at the runs for the error.") % {"jobs": "、".join(names)},
        is_wrong=bool(overdue),
        is_worker_silent=is_worker_silent,
    )
    return Matter(
        _("Jobs that are overdue"),
        str(len(overdue)),
        min(overdue.values(), default=None),
        advice,
        reverse("admin:ops_jobrun_changelist") + ("?succeeded__exact=0" if overdue else ""),
        bool(overdue),
        now,
    )


def _alerts(*, is_worker_silent: bool, now: datetime) -> Matter:
    """Return the alerts that Slack was to be told, and was not; those that are over count while they wait."""
    waiting = Q(state=Alert.State.WAITING)
    counts = (
        Alert.objects.undelivered()
        .filter(waiting | Q(over_at__isnull=True))
        .aggregate(count=Count("pk"), oldest=Min("first_at"), failed=Count("pk", filter=~waiting))
    )
    is_wrong = bool(counts["failed"]) or _is_late(counts["oldest"], now)
    advice = _advice(
        _("Slack does not take them: look at SLACK_WEBHOOK_URL, and read the alerts here meanwhile."),
        is_wrong=is_wrong,
        is_worker_silent=is_worker_silent and not counts["failed"],
    )
    return Matter(
        _("Alerts that Slack has not got"),
        str(counts["count"]),
        counts["oldest"],
        advice,
        reverse("admin:ops_alert_changelist"),
        is_wrong,
        now,
    )


def missing_close(latest: DailyClose | None, *, is_worker_silent: bool, now: datetime) -> Matter | None:
    """Return the days that should be closed by now and are not; None for none.

    `latest` is the last closed day: no query is made while all days are closed.
    """
    if latest is not None and latest.day >= days.yesterday(now):
        return None
    missing = duties.missing_days(now=now)
    if not missing:
        return None
    return Matter(
        _("Days that are not closed"),
        str(len(missing)),
        days.day_bounds(missing[0])[1],
        _advice(
            _("The close tries again every ten minutes. If this stays, read the error of its runs."),
            is_wrong=True,
            is_worker_silent=is_worker_silent,
        ),
        reverse("admin:ops_jobrun_changelist") + "?job__exact=daily_close",
        True,
        now,
    )


def _is_late(since: datetime | None, now: datetime) -> bool:
    return since is not None and now - since > MAX_WAIT
