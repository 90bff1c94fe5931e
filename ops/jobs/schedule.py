"""Scheduled jobs: what each does, how often, and the claim that makes each run happen once.

The schedule is this module, not a table. Each worker queues a job's name once per period (`ops.jobs.queue`):
with two workers twice, during an outage not at all. So each run is claimed by a `JobRun` row, unique on job
and time; a second worker finds the claim and does nothing. A job processes whatever is pending, so the next
run makes up for a missed one and no runs pile up after an outage.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import structlog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone, translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from kikaku import days
from kikaku.alerts import Alert, alert_over
from kikaku.transactions import unit_of_work
from ledger.books.tax_rules import TaxStatusMissing
from ledger.closing import daily_close
from ledger.ingest import balance, inbox
from ledger.models import BalanceTransaction, DailyClose, Order
from ledger.sales import checkout, mail, refunds
from ledger.stripe.client import forget_account
from ops.alerts import delivery, store
from ops.backup import archive
from ops.logs import sentry
from ops.logs.setup import current_request
from ops.metrics import figures, size
from ops.models import JobRun, ProcessStart, SignIn
from ops.todos import upkeep
from ops.web import limits

logger = logging.getLogger(__name__)

# Longer than django-q2's timeout, which kills a run: when a lease has expired, its holder is dead.
RUN_LEASE = timedelta(seconds=int(str(settings.Q_CLUSTER["timeout"])) + 60)
BACKUP_LEASE = timedelta(hours=2)
BACKUP_HOUR_UTC = 18  # on Sundays: after the close
CLOSE_HOUR_UTC = 16  # 01:00 in Japan: an hour for the day's last balance transactions to appear
MAX_EVENTS_PER_RUN = 200
RUN_RETENTION = timedelta(days=3)
LONG_KEPT, LONG_RUN_RETENTION = ("daily_close", "backup"), timedelta(days=400)


@dataclass(frozen=True)
class Job:
    """A scheduled job."""

    name: str
    work: Callable[[datetime], str]  # takes `now`; returns one line about what it did, "" for nothing
    slot: Callable[[datetime], datetime]  # the scheduled time of a run that starts at `now`
    minutes: int  # how often a worker queues it
    until_done: bool = False  # repeat the same slot until one run has succeeded
    alert: str = ""  # the kind of alert that a failed run makes at once
    # the times of its slots in UTC as a crontab has them, if it has such; for Sentry's monitor
    cron: str = ""
    lease: timedelta = RUN_LEASE  # a run that has not ended by then is dead
    is_apart: bool = False  # runs in a process of its own, beside the queue
    slot_days: int = 1  # from one slot to the next of a job that is repeated until it is done

    @property
    def period(self) -> timedelta:
        """Return the time from one success to the next."""
        return timedelta(days=self.slot_days) if self.until_done else timedelta(minutes=self.minutes)


def every(minutes: int) -> Callable[[datetime], datetime]:
    """Return a slot function: the start of the current period of `minutes`."""

    def slot(now: datetime) -> datetime:
        seconds = int(now.timestamp()) // (minutes * 60) * (minutes * 60)
        return datetime.fromtimestamp(seconds, tz=UTC)

    return slot


def last_close_time(now: datetime) -> datetime:
    """Return the last 16:00 UTC at or before `now`."""
    at = now.astimezone(UTC).replace(hour=CLOSE_HOUR_UTC, minute=0, second=0, microsecond=0)
    return at if at <= now else at - timedelta(days=1)


def last_backup_time(now: datetime) -> datetime:
    """Return the last Sunday 18:00 UTC (Monday 03:00 in Japan) at or before `now`."""
    at = now.astimezone(UTC).replace(hour=BACKUP_HOUR_UTC, minute=0, second=0, microsecond=0)
    at -= timedelta(days=(at.weekday() + 1) % 7)
    return at if at <= now else at - timedelta(days=7)


# ── The jobs ─────────────────────────────────────────────────────────────────────────────────────────────


def _counted(text: str, count: int) -> str:
    """Return a text with its count, "" for none."""
    return text % {"count": count} if count else ""


def process_stripe_events(now: datetime) -> str:
    """Process Stripe events that failed or were never finished."""
    return _counted(_("%(count)d events handled"), inbox.process_pending(now=now, limit=MAX_EVENTS_PER_RUN))


def fetch_balance_transactions(now: datetime) -> str:
    """Fetch and post new balance transactions."""
    return _counted(_("%(count)d balance transactions posted"), balance.fetch_new(now=now).posted)


def expire_checkouts(now: datetime) -> str:
    """Ask Stripe about checkouts past their expiry and release their stock."""
    return _counted(_("%(count)d checkouts ended"), checkout.expire_due(now=now))


def send_refunds(now: datetime) -> str:
    """Send refunds that are not known to have reached Stripe; ask it once a day about those that wait."""
    sent = refunds.send_requested(now=now)
    done = (
        _counted(_("%(count)d refunds confirmed at Stripe"), sent[refunds.Sending.ACCEPTED]),
        _counted(_("%(count)d refunds refused by Stripe"), sent[refunds.Sending.REFUSED]),
        _counted(
            _("%(count)d refunds not posted: the tax status is missing"), sent[refunds.Sending.NOT_POSTED]
        ),
        _counted(_("%(count)d waiting refunds updated"), refunds.update_waiting(now=now)),
    )
    return ", ".join(filter(None, done))


def send_mail(now: datetime) -> str:
    """Send the queued mails that are due."""
    return _counted(_("%(count)d mails sent"), mail.send_due(now=now))


def close_days(now: datetime) -> str:
    """Close every open day up to the one that ended before the last 16:00 UTC, in order.

    After an outage that is more than one day. Empty books are not closed. A retry between 15:00
    and 16:00 UTC is already on the next day in Japan; it still closes only up to the day of its own 16:00 UTC
    run.
    """
    until = days.yesterday(last_close_time(now))
    if not has_activity(until):
        return ""
    closed: list[str] = []
    for day in daily_close.open_days(until):
        result = daily_close.close_day(day, now=now)
        open_rows = [f"{category.label} {count}" for category, count in result.open.items() if count]
        found = ", ".join(open_rows) or _("no differences")
        closed.append(_("%(day)s closed: %(found)s") % {"day": day, "found": found})
    return "; ".join(closed)


def has_activity(until: date) -> bool:
    """Return whether the books have a closed day, or an order or transaction up to and including `until`."""
    return (
        DailyClose.objects.exists()
        or Order.objects.filter(placed_at__lt=days.day_bounds(until)[1]).exists()
        or BalanceTransaction.objects.filter(day__lte=until).exists()
    )


def prune(now: datetime) -> str:
    """Delete what is old: job runs, rate-limit buckets, sessions, alerts, figures; note the database's size.

    Job runs are kept for 3 days, those of the close and the backup for 400.
    """
    old, _of_each = JobRun.objects.filter(
        Q(scheduled_for__lt=now - RUN_RETENTION) & ~Q(job__in=LONG_KEPT)
        | Q(scheduled_for__lt=now - LONG_RUN_RETENTION, job__in=LONG_KEPT)
    ).delete()
    full = limits.prune(now=now.timestamp())
    expired, _of_each = Session.objects.filter(expire_date__lt=now).delete()
    ProcessStart.objects.filter(at__lt=now - timedelta(days=1)).delete()
    alerts = store.prune(now=now)
    figures.prune(now=now)
    size.record_size(now=now)
    SignIn.objects.filter(at__lt=now - timedelta(days=settings.SIGN_IN_DAYS)).delete()
    done = (
        _counted(_("%(count)d old job runs deleted"), old),
        _counted(_("%(count)d rate-limit buckets deleted"), full),
        _counted(_("%(count)d expired sessions deleted"), expired),
        _counted(_("%(count)d old alerts deleted"), alerts),
    )
    return "; ".join(filter(None, done))


def keep_todos(now: datetime) -> str:
    """Make a to-do of each new fact that needs a person, and close those whose fact is gone."""
    kept = upkeep.refresh(now=now)
    done = (_counted(_("%(count)d to-dos made"), kept.made), _counted(_("%(count)d closed"), kept.gone))
    return ", ".join(filter(None, done))


def deliver_alerts(now: datetime) -> str:
    """Send the alerts that wait for Slack."""
    return _counted(_("%(count)d alerts sent"), delivery.deliver_due(now=now))


def back_up(now: datetime) -> str:
    """Write the weekly backup; none of a shop that has nothing yet."""
    if not has_activity(days.business_day(now)):
        return ""
    return outcome_of(archive.make(now=now))


def outcome_of(stored: archive.Stored) -> str:
    """Return what staff read of a backup among the runs of jobs."""
    return _("%(name)s: %(size)d bytes") % {"name": stored.name, "size": stored.size}


JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job("stripe_events", process_stripe_events, every(1), minutes=1),
        Job("balance", fetch_balance_transactions, every(5), minutes=5),
        Job("checkout_expiry", expire_checkouts, every(1), minutes=1),
        Job("refunds", send_refunds, every(1), minutes=1),
        Job("mail", send_mail, every(1), minutes=1),
        # fires every ten minutes for the same 16:00 UTC: catches up after a failed close or a worker that was
        # down
        Job(
            "daily_close",
            close_days,
            last_close_time,
            minutes=10,
            until_done=True,
            alert="close_failed",
            cron=f"0 {CLOSE_HOUR_UTC} * * *",
        ),
        Job("prune", prune, every(60), minutes=60),
        Job("todos", keep_todos, every(5), minutes=5),
        Job(
            "backup",
            back_up,
            last_backup_time,
            minutes=60,
            until_done=True,
            slot_days=7,
            alert="backup_failed",
            cron="0 18 * * 0",
            lease=BACKUP_LEASE,
            is_apart=True,
        ),
        Job("alerts", deliver_alerts, every(1), minutes=1),
    )
}


# ── The timetable ────────────────────────────────────────────────────────────────────────────────────────


class Timetable:
    """The times at which one worker has queued each job."""

    def __init__(self) -> None:
        self._periods: dict[str, datetime] = {}

    def due(self, now: datetime) -> list[str]:
        """Return the jobs that are to be queued at `now`: all at first, then each once per period.

        Periods begin at whole minutes of the hour, so that the close's ten minutes begin at 16:00 UTC too.
        """
        return [name for name, job in JOBS.items() if self._periods.get(name) != every(job.minutes)(now)]

    def mark_queued(self, name: str, *, now: datetime) -> None:
        """Remember that job `name` was queued at `now`."""
        self._periods[name] = every(JOBS[name].minutes)(now)


# ── The claim ────────────────────────────────────────────────────────────────────────────────────────────


@unit_of_work
def claim(job: Job, *, now: datetime) -> JobRun | None:
    """Claim the run of `job` that is due at `now`; return None if another worker has it or it is done.

    A run whose lease has expired is taken over with the next fencing token, so that its dead holder cannot
    finish it; that is logged, as an alert if the job has one for its failures.
    """
    scheduled_for = job.slot(now)
    found = JobRun.objects.filter(job=job.name, scheduled_for=scheduled_for).first()
    if found is None:
        try:
            with transaction.atomic():
                return JobRun.objects.create(
                    job=job.name, scheduled_for=scheduled_for, claimed_until=now + job.lease, started_at=now
                )
        except IntegrityError:
            return None  # another worker claimed it first
    is_dead = found.finished_at is None and found.claimed_until < now
    if not is_dead and not (job.until_done and found.succeeded is False):
        return None
    taken = JobRun.objects.filter(pk=found.pk, token=found.token).update(
        token=F("token") + 1,
        claimed_until=now + job.lease,
        started_at=now,
        finished_at=None,
        succeeded=None,
        message="",
    )
    if not taken:
        return None
    if is_dead:
        reason = _("The run before it was killed, or its machine stopped.")
        logger.warning("job %s was not finished", job.name, extra=_alert(job, reason))
    found.refresh_from_db()
    return found


@unit_of_work
def repeat(job: Job, *, now: datetime) -> None:
    """Let the present run of a job that is repeated until it is done be claimed again if it has succeeded."""
    JobRun.objects.filter(job=job.name, scheduled_for=job.slot(now), succeeded=True).update(
        succeeded=False, message=""
    )


def finish(run: JobRun, *, succeeded: bool, message: str, now: datetime) -> bool:
    """Write how the run ended and return True; return False if another worker has taken it over meanwhile."""
    ended = JobRun.objects.filter(pk=run.pk, token=run.token, finished_at__isnull=True).update(
        finished_at=now, succeeded=succeeded, message=message[:2000]
    )
    if not ended:
        logger.warning("job %s of %s was taken over by another worker", run.job, run.scheduled_for)
    return bool(ended)


def _guard() -> AbstractContextManager[str]:
    """Return the context manager of `settings.JOB_GUARD`.

    Development only: jobs wait while demo data is written. It yields the reason to wait, or "".
    """
    if not settings.JOB_GUARD:
        return nullcontext("")
    guard: AbstractContextManager[str] = import_string(settings.JOB_GUARD)()
    return guard


def _alert(job: Job, reason: Exception | str) -> dict[str, Alert] | None:
    """Return the mark of a job's failure, if it makes an alert at once."""
    return {"alert": Alert(job.alert, fields={_("reason"): str(reason)})} if job.alert else None


def run(name: str, *, now: datetime | None = None) -> bool:
    """Run job `name` for the current slot; return whether this call ran it successfully.

    The worker calls it with the name alone: the clock is read here and passed on.
    """
    job = JOBS[name]
    now = now or timezone.now()
    try:
        claimed = claim(job, now=now)
    except OperationalError as error:  # full disk, lock timeout: the next run tries again
        logger.error("job %s is skipped, the database does not work: %s", name, error)
        return False
    if claimed is None:
        return False
    forget_account()  # the key, or the database, may be another one since the last job
    token = current_request.set(f"job-{claimed.pk}-{claimed.token}")
    try:
        with (
            structlog.contextvars.bound_contextvars(job=name),
            sentry.monitored(name, sentry.monitor(job.period, cron=job.cron)) as end,
        ):
            succeeded = _work(job, claimed, now=now)
            end(succeeded)
        return succeeded
    finally:
        current_request.reset(token)


def _work(job: Job, claimed: JobRun, *, now: datetime) -> bool:
    """Do the work of a claimed run; return whether it succeeded and is still ours."""
    name = job.name
    try:
        # staff read in the admin what it did
        with _guard() as reason_to_wait, translation.override(settings.LANGUAGE_CODE):
            message = "" if reason_to_wait else job.work(now)
    except TaxStatusMissing as error:  # a person must act: the next run is the next try
        logger.warning("%s: %s", name, error, extra=_alert(job, error))
        finish(claimed, succeeded=False, message=str(error), now=timezone.now())
        return False
    except Exception as error:  # a failing job must not end the worker
        logger.exception("job %s failed", name, extra=_alert(job, error))
        is_for_staff = isinstance(error, daily_close.CloseFailed)
        message = str(error) if is_for_staff else f"{type(error).__name__}: {error}"
        finish(claimed, succeeded=False, message=message, now=timezone.now())
        return False
    if reason_to_wait:
        logger.info("%s: %s", name, reason_to_wait)
        finish(claimed, succeeded=False, message=reason_to_wait, now=timezone.now())
        return False
    if message:
        logger.info("%s: %s", name, message)
    if job.alert:
        logger.info("job %s succeeded", name, extra=alert_over(job.alert))
    return finish(claimed, succeeded=True, message=message, now=timezone.now())
