"""What runs by itself, how often, and the claim that makes each run happen once.

django-q2 only rings the bell: its schedule may ring twice (two workers) or not at all (an outage). So each run is
claimed by a `JobRun` row, unique on job and time; the loser leaves. A job takes up whatever waits for it, so a
missed bell is made good by the next one, and nothing piles up after an outage.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import Schedule

from kikaku import days
from kikaku.transactions import unit_of_work
from ledger.closing import daily_close
from ledger.ingest import balance, inbox
from ledger.models import BalanceTransaction, DailyClose, Order
from ledger.sales import checkout, mail, refunds
from ops import limits
from ops.models import JobRun

logger = logging.getLogger(__name__)

# Longer than django-q2's timeout, which kills a run: a claim that has run out belongs to nobody alive.
LEASE = timedelta(seconds=int(str(settings.Q_CLUSTER["timeout"])) + 60)
CLOSE_HOUR_UTC = 16  # 01:00 in Japan: Stripe had an hour to settle the day that ended
MOST_AT_ONCE = 200
KEEP_RUNS = timedelta(days=3)
KEEP_CLOSES = timedelta(days=400)


@dataclass(frozen=True)
class Job:
    """Something that runs by itself."""

    name: str
    work: Callable[[datetime], str]  # gets `now`, returns one line about what it did, "" for nothing
    slot: Callable[[datetime], datetime]  # the time that a run at `now` stands for
    minutes: int  # how often the bell rings
    until_done: bool = False  # ring again for the same slot until one run succeeded


def every(minutes: int) -> Callable[[datetime], datetime]:
    """Return a function that gives the start of the running period of `minutes`."""

    def slot(now: datetime) -> datetime:
        seconds = int(now.timestamp()) // (minutes * 60) * (minutes * 60)
        return datetime.fromtimestamp(seconds, tz=UTC)

    return slot


def nightly(now: datetime) -> datetime:
    """Return the last 16:00 UTC at or before `now`."""
    at = now.astimezone(UTC).replace(hour=CLOSE_HOUR_UTC, minute=0, second=0, microsecond=0)
    return at if at <= now else at - timedelta(days=1)


# ── The jobs ─────────────────────────────────────────────────────────────────────────────────────────────


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def stripe_events(now: datetime) -> str:
    """Take up events that failed or were left."""
    return _count(inbox.process_pending(now=now, limit=MOST_AT_ONCE), "events handled")


def balance_transactions(now: datetime) -> str:
    """Post what is new on Stripe's balance."""
    return _count(balance.fetch_new(now=now).posted, "balance transactions posted")


def checkout_expiry(now: datetime) -> str:
    """Ask Stripe about checkouts whose time is over and release what they held."""
    return _count(checkout.expire_due(now=now), "checkouts ended")


def unsent_refunds(now: datetime) -> str:
    """Send refunds to Stripe that never reached it, and ask about those that wait for long."""
    done = (
        _count(refunds.send_requested(now=now), "refunds sent again"),
        _count(refunds.ask_about_waiting(now=now), "waiting refunds moved on"),
    )
    return ", ".join(filter(None, done))


def customer_mail(now: datetime) -> str:
    """Send the mail that waits."""
    return _count(mail.send_due(now=now), "mails sent")


def nightly_close(now: datetime) -> str:
    """Close every open day up to yesterday, in order; after an outage that is more than one.

    Books in which nothing has happened yet are not begun by a job. A run that is tried again late in the next evening,
    or by a clock that is ahead, closes what its 16:00 UTC was for: the day that has just ended, or only seems to, waits.
    """
    until = days.yesterday(nightly(now))
    if not _begun(until):
        return ""
    closed: list[str] = []
    for day in daily_close.open_days(until):
        result = daily_close.close_day(day, now=now)
        closed.append(f"{day} ({result.differences} differences)")
    return f"closed {', '.join(closed)}" if closed else ""


def _begun(until: date) -> bool:
    """Whether the books have a closed day, an order or a transaction up to and including `until`."""
    return (
        DailyClose.objects.exists()
        or Order.objects.filter(placed_at__lt=days.day_bounds(until)[1]).exists()
        or BalanceTransaction.objects.filter(day__lte=until).exists()
    )


def prune(now: datetime) -> str:
    """Forget old job runs (minutes after three days, closes after four hundred) and rate limits that are full again."""
    old, _ = JobRun.objects.filter(
        Q(scheduled_for__lt=now - KEEP_RUNS) & ~Q(job="daily_close")
        | Q(scheduled_for__lt=now - KEEP_CLOSES, job="daily_close")
    ).delete()
    full = limits.prune(now=now.timestamp())
    return "; ".join(
        filter(None, [_count(old, "old job runs forgotten"), _count(full, "rate limits forgotten")])
    )


JOBS: dict[str, Job] = {
    job.name: job
    for job in (
        Job("stripe_events", stripe_events, every(1), minutes=1),
        Job("balance", balance_transactions, every(5), minutes=5),
        Job("checkout_expiry", checkout_expiry, every(1), minutes=1),
        Job("refunds", unsent_refunds, every(1), minutes=1),
        Job("mail", customer_mail, every(1), minutes=1),
        # rings every ten minutes for the same 16:00 UTC: a close that failed, or a worker that was away, catches up
        Job("daily_close", nightly_close, nightly, minutes=10, until_done=True),
        Job("prune", prune, every(60), minutes=60),
    )
}


# ── The bell ─────────────────────────────────────────────────────────────────────────────────────────────


@unit_of_work
def install(*, now: datetime) -> None:
    """Write the schedule rows that `JOBS` asks for and remove those of jobs that are gone."""
    wanted = {f"kikaku:{job.name}": job for job in JOBS.values()}
    Schedule.objects.filter(name__startswith="kikaku:").exclude(
        name__in=[*wanted, "kikaku:16:00 UTC"]
    ).delete()
    for name, job in wanted.items():
        Schedule.objects.update_or_create(
            name=name,
            defaults={
                "func": "ops.schedule.run",
                "args": repr((job.name,)),
                "schedule_type": Schedule.MINUTES,
                "minutes": job.minutes,
                "repeats": -1,
                "next_run": now,
            },
        )
    Schedule.objects.update_or_create(
        name="kikaku:16:00 UTC",
        defaults={
            "func": "ops.schedule.run",
            "args": repr(("daily_close",)),
            "schedule_type": Schedule.DAILY,
            "repeats": -1,
            "next_run": nightly(now) + timedelta(days=1),
        },
    )


# ── The claim ────────────────────────────────────────────────────────────────────────────────────────────


@unit_of_work
def claim(job: Job, *, now: datetime) -> JobRun | None:
    """Claim the run that `now` stands for; None when somebody else has it or it is done.

    A run whose lease ran out is taken over with the next fencing token: the crashed holder can no longer finish it.
    """
    scheduled_for = job.slot(now)
    free = Q(finished_at__isnull=True, claimed_until__lt=now)
    if job.until_done:
        free |= Q(succeeded=False)
    taken = JobRun.objects.filter(free, job=job.name, scheduled_for=scheduled_for).update(
        token=F("token") + 1,
        claimed_until=now + LEASE,
        started_at=now,
        finished_at=None,
        succeeded=None,
        message="",
    )
    if taken:
        return JobRun.objects.get(job=job.name, scheduled_for=scheduled_for)
    if JobRun.objects.filter(job=job.name, scheduled_for=scheduled_for).exists():
        return None
    try:
        with transaction.atomic():
            return JobRun.objects.create(
                job=job.name, scheduled_for=scheduled_for, claimed_until=now + LEASE, started_at=now
            )
    except IntegrityError:
        return None  # another worker was quicker


def finish(run: JobRun, *, succeeded: bool, message: str, now: datetime) -> bool:
    """Write how the run ended, unless it was taken over meanwhile: then its end is not ours to write."""
    ended = JobRun.objects.filter(pk=run.pk, token=run.token, finished_at__isnull=True).update(
        finished_at=now, succeeded=succeeded, message=message[:2000]
    )
    if not ended:
        logger.warning("job %s of %s was taken over by another worker", run.job, run.scheduled_for)
    return bool(ended)


def _guard() -> AbstractContextManager[str]:
    """Return what is held while a job runs; it yields a reason to wait, or nothing. Production has none."""
    if not settings.JOB_GUARD:
        return nullcontext("")
    guard: AbstractContextManager[str] = import_string(settings.JOB_GUARD)()
    return guard


def run(name: str, *, now: datetime | None = None) -> bool:
    """Run job `name` once for the present time; True when this call did it and it succeeded.

    Called by django-q2 with the name alone: this is the edge where the clock is read.
    """
    job = JOBS[name]
    now = now or timezone.now()
    try:
        claimed = claim(job, now=now)
    except OperationalError as error:  # a full disk, a lock that nobody gives back: the next bell
        logger.error("job %s waits, the database does not work: %s", name, error)
        return False
    if claimed is None:
        return False
    try:
        with _guard() as reason_to_wait:
            message = "" if reason_to_wait else job.work(now)
    except Exception as error:  # a job that fails must not take its worker along
        logger.exception("job %s failed", name)
        finish(claimed, succeeded=False, message=f"{type(error).__name__}: {error}", now=timezone.now())
        return False
    if reason_to_wait:
        logger.info("%s: %s", name, reason_to_wait)
        finish(claimed, succeeded=False, message=reason_to_wait, now=timezone.now())
        return False
    if message:
        logger.info("%s: %s", name, message)
    return finish(claimed, succeeded=True, message=message, now=timezone.now())
