"""Closing days by hand: a button above the closed days, and the page that tells what became of it.

The page queues the job that closes days at night: it asks Stripe for minutes, and claims its run, so that a
second click, and a worker that closes at the same moment, change nothing.
"""

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from auditlog.models import LogEntry
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_q.brokers import get_broker
from redis import RedisError
from unfold.decorators import action

from kikaku import days
from kikaku.admin.columns import format_local_time
from ledger.admin.closes import DailyCloseAdmin
from ledger.closing import daily_close
from ledger.models import DailyClose
from ops.health import duties
from ops.jobs.schedule import JOBS, has_activity, last_close_time, repeat
from ops.models import JobRun

logger = logging.getLogger(__name__)

CLOSE_DAY = "ledger.close_day"
JOB = JobRun.Job.DAILY_CLOSE
ASKED_AT = "close_asked_at"  # in the session: when the user asked for a close, in seconds since 1970
PATIENCE = timedelta(minutes=10)  # with a close that was asked for and does not begin
REFRESH_SECONDS = 3
MAX_SHOWN = 31  # days

admin.site.unregister(DailyClose)


@dataclass(frozen=True)
class Closing:
    """What can be closed now, and how the last close of it went."""

    until: date  # the last day that the job closes now
    open_days: list[date]  # of those, oldest first
    run: JobRun | None  # the job's run for these days
    done: int  # how many days were closed since that run began
    asked_at: datetime | None  # when the user asked for it, if lately
    now: datetime

    @property
    def is_running(self) -> bool:
        """Return whether a worker closes days at this moment."""
        return self.run is not None and self.run.finished_at is None and self.run.claimed_until >= self.now

    @property
    def has_begun(self) -> bool:
        """Return whether a run has begun since the user asked for it."""
        return self.asked_at is not None and self.run is not None and self.run.started_at >= self.asked_at

    @property
    def is_queued(self) -> bool:
        """Return whether the user has asked for a close that has not begun."""
        return bool(self.open_days) and self.asked_at is not None and not self.has_begun

    @property
    def failure(self) -> str:
        """Return why the last run closed no more days; "" if it did not fail."""
        return self.run.message if self.run is not None and self.run.succeeded is False else ""

    @property
    def can_start(self) -> bool:
        """Return whether there is something to close that is not being closed already."""
        return bool(self.open_days) and not (self.is_running or self.is_queued)


def closing_at(now: datetime, *, asked_at: datetime | None = None) -> Closing:
    """Return what the job can close at `now`."""
    slot = last_close_time(now)
    until = days.yesterday(slot)
    run = JobRun.objects.filter(job=JOB, scheduled_for=slot).first()
    return Closing(
        until=until,
        open_days=daily_close.open_days(until) if has_activity(until) else [],
        run=run,
        done=0 if run is None else DailyClose.objects.filter(closed_at__gte=run.started_at).count(),
        asked_at=asked_at if asked_at is not None and now - asked_at < PATIENCE else None,
        now=now,
    )


def messages_about(closing: Closing, *, is_worker_silent: bool) -> list[tuple[str, str]]:
    """Return what the page says first, each with its level (info, success, warning or error)."""
    found: list[tuple[str, str]] = []
    if closing.is_running:
        counts = {"done": closing.done, "left": len(closing.open_days)}
        text = _("The days are being closed: %(done)d done, %(left)d left. This page goes on by itself.")
        found.append(("info", text % counts))
    elif closing.is_queued:
        found.append(("info", _("The close begins in a moment. This page shows by itself what comes of it.")))
    elif closing.run is not None and closing.failure and closing.open_days:
        tried = {"at": format_local_time(closing.run.started_at), "day": closing.open_days[0]}
        found.append(("error", closing.failure))
        found.append(("info", _("Tried at %(at)s. Nothing of %(day)s and later days was changed.") % tried))
    elif closing.has_begun:
        found.append(("success", _("The close is done: %(done)d days.") % {"done": closing.done}))
    if is_worker_silent and closing.open_days:
        found.append(("warning", _("The worker does not run. Start it: then it closes the days at once.")))
    return found


def question_about(closing: Closing) -> str:
    """Return what is open, and what closing it means; "" while it is being closed."""
    if not closing.open_days:
        return _("Every day up to %(day)s is closed.") % {"day": closing.until}
    if not closing.can_start:
        return ""
    span = {"first": closing.open_days[0], "last": closing.until, "count": len(closing.open_days)}
    if len(closing.open_days) == 1:
        return _("%(first)s is compared with Stripe and locked. A closed day cannot be opened again.") % span
    return _("%(first)s to %(last)s (%(count)d days) are compared with Stripe and locked, for good.") % span


def _asked_at(request: HttpRequest) -> datetime | None:
    seconds = request.session.get(ASKED_AT)
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=timezone.get_default_timezone())


@admin.register(DailyClose)
class ClosingAdmin(DailyCloseAdmin):
    """Closed days, and the button that closes those which are still open."""

    actions_list = ("close_now",)

    @action(
        description=gettext_lazy("Close up to yesterday"),
        url_path="close",
        icon="event_available",
        permissions=[CLOSE_DAY],
    )
    def close_now(self, request: HttpRequest) -> HttpResponse:
        """Return what is open and how its close goes, or queue the close. Raises `PermissionDenied`."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        closing = closing_at(now, asked_at=_asked_at(request))
        is_silent = duties.worker_since(now=now) is None
        if request.method == "POST":
            if closing.can_start:
                self._queue(request, closing)
            return HttpResponseRedirect(request.path)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Close up to yesterday"),
            "opts": self.opts,
            "said": messages_about(closing, is_worker_silent=is_silent),
            "question": question_about(closing),
            "can_start": closing.can_start,
            "closed": self._results(request, closing) if closing.is_running or closing.has_begun else [],
            "is_part": closing.done > MAX_SHOWN,
            "back": reverse("admin:ledger_dailyclose_changelist"),
        }
        response = TemplateResponse(request, "ops/close_days.html", context)
        if closing.is_running or closing.is_queued:
            response["Refresh"] = str(REFRESH_SECONDS)
        return response

    def _results(self, request: HttpRequest, closing: Closing) -> list[tuple[date, str, str, str]]:
        """Return the days that were closed: each with its result, this in words, and its report's address.

        Differences come first, then the latest days.
        """
        if closing.run is None:
            return []
        rows: Any = self.get_queryset(request).filter(closed_at__gte=closing.run.started_at)
        rows = rows.order_by("-still_open", "-day")
        return [(row.day, *self.result(row), self._address(row, "report.html")) for row in rows[:MAX_SHOWN]]

    def _queue(self, request: HttpRequest, closing: Closing) -> None:
        """Note who asks, and queue the job; say so if the queue does not take it."""
        LogEntry.objects.log_create(
            DailyClose(day=closing.until),
            force_log=True,
            action=LogEntry.Action.UPDATE,
            object_repr=_("up to %(day)s, asked for by hand") % {"day": closing.until},
            changes={"day": ["None", str(closing.until)]},
        )
        repeat(JOBS[JOB.value], now=closing.now)  # days may have come up since it succeeded
        try:
            get_broker().enqueue(JOB.value)
        except RedisError:
            logger.exception("a close that was asked for could not be queued")
            messages.error(request, _("The queue of the jobs does not answer, so nothing was begun."))
        else:
            request.session[ASKED_AT] = closing.now.timestamp()
