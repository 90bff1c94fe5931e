"""The watch: a thread of each web process that looks at what can no longer speak for itself.

A dead worker cannot say that it is dead, and a database that does not work stores no alert. Every
`settings.WATCH_SECONDS` the watch looks; it logs what is wrong, marked as an alert, and its end. Several web
processes say the same: equal alerts are one row (`ops.alerts.store`).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from kikaku.alerts import Alert, alert, alert_over
from kikaku.money import yen
from kikaku.transactions import unit_of_work
from ledger.models import OutgoingMail, Refund, StripeEvent
from ledger.templatetags.ledger_money import format_deadline
from ops.alerts.courier import courier
from ops.health import duties
from ops.health.parts import (
    Hangs,
    Part,
    check_database,
    check_database_writes,
    check_evidence_storage,
    works,
)
from ops.metrics import figures
from ops.models import Alert as AlertRow
from ops.models import Heartbeat, JobRun, ProcessStart

logger = logging.getLogger(__name__)

KINDS = (
    "database_down",
    "storage_down",
    "worker_dead",
    "restart_loop",
    "job_overdue",
    "day_missing",
    "events_failing",
    "mail_waiting",
    "refunds_waiting",
    "large_refund",
    "backup_overdue",
)
START_GRACE = timedelta(minutes=3)  # for a worker that starts with the web process
OUTBOX_PATIENCE = timedelta(minutes=30)  # that a mail or a refund may wait
REFUND_SHOWN = timedelta(hours=1)  # then the alert of a large refund is over
MAX_REFUNDS = 100  # in one look
STARTS, STARTS_WITHIN = 5, timedelta(minutes=10)  # so many of each process are a restart loop
CHECK_SECONDS = 10.0  # that a database or a storage may take to answer
LOOK_SECONDS = 60.0  # that a look may take: longer, and the database hangs
REPEAT_SECONDS = 600.0  # a condition that lasts is logged again


@dataclass(frozen=True)
class Trouble:
    """A condition that is wrong now."""

    kind: str
    subject: str
    text: str
    fields: dict[str, str] = field(default_factory=dict)


@unit_of_work
def record_start(name: str, *, now: datetime) -> None:
    """Store that a process has started."""
    ProcessStart.objects.create(name=name, at=now)


def check_whole_database() -> bool:
    """Return whether the database can be read and written."""
    return check_database() and check_database_writes()


def limited(name: str, check: Callable[[], bool]) -> Callable[[], bool]:
    """Return a check that fails after ten seconds; while one hangs, no second one is started."""
    part = Part(f"watch-{name}", check)

    def ask() -> bool:
        part.begin()
        return works(part, until=time.monotonic() + CHECK_SECONDS)

    return ask


class Watch:
    """What one web process has said already, and how it asks database and storage."""

    def __init__(
        self,
        *,
        started_at: datetime,
        database_works: Callable[[], bool] = check_whole_database,
        storage_works: Callable[[], bool] = check_evidence_storage,
    ) -> None:
        self.started_at = started_at
        self._database_works = database_works
        self._storage_works = storage_works
        self._said: dict[tuple[str, str], float] = {}  # when, by a monotonic clock

    def look(self, *, now: datetime) -> list[Trouble]:
        """Look once; log what is wrong and what is over, and return what is wrong. At most twelve queries."""
        with translation.override(settings.LANGUAGE_CODE):
            found = list(self._troubles(now=now))
            over = [] if any(each.kind == "database_down" for each in found) else self._over(found)
        for trouble in found:
            self._say(trouble)
        for kind, subject in over:
            self._said.pop((kind, subject), None)
            logger.info("over: %s %s", kind, subject, extra=alert_over(kind, subject=subject))
        return found

    def _say(self, trouble: Trouble) -> None:
        key, at = (trouble.kind, trouble.subject), time.monotonic()
        if key not in self._said or at - self._said[key] >= REPEAT_SECONDS:
            self._said[key] = at
            mark = {"alert": Alert(trouble.kind, trouble.subject, trouble.fields)}
            logger.error("%s", trouble.text, extra=mark)

    def _over(self, found: list[Trouble]) -> set[tuple[str, str]]:
        """Return what was said, by this or another process, and is no longer so."""
        present = {(each.kind, each.subject) for each in found}
        stored = AlertRow.objects.ongoing().filter(kind__in=KINDS).values_list("kind", "subject")
        return {*stored, *self._said} - present

    def _troubles(self, *, now: datetime) -> Iterator[Trouble]:
        if not self._storage_works():
            yield Trouble("storage_down", "", "the storage of evidence does not work")
        if not self._database_works():
            yield Trouble("database_down", "", "the database does not work, or cannot be written")
            return
        running_since = duties.worker_since(now=now)
        if running_since is None:
            yield from self._dead_worker(now=now)
        elif running_since < now - START_GRACE:
            yield from _overdue_jobs(now=now)
        yield from _restart_loops(now=now)
        yield from _missing_days(now=now)
        yield from _old_backup(now=now)
        yield from _outboxes(now=now)
        yield from _large_refunds(now=now)

    def _dead_worker(self, *, now: datetime) -> Iterator[Trouble]:
        last = duties.last_worker_beat()
        if last is None and now - self.started_at < START_GRACE:
            return
        fields = {_("last sign of life"): format_deadline(last) if last else _("never seen")}
        yield Trouble("worker_dead", "", "the worker gives no sign of life", fields)


def _overdue_jobs(*, now: datetime) -> Iterator[Trouble]:
    for name, since in duties.overdue_jobs(now=now).items():
        label = str(JobRun.Job(name).label)
        fields = {_("job"): label, _("last success"): format_deadline(since)}
        yield Trouble("job_overdue", label, f"job {name} has not succeeded since {since}", fields)


def _restart_loops(*, now: datetime) -> Iterator[Trouble]:
    starts = (
        ProcessStart.objects.filter(at__gte=now - STARTS_WITHIN)
        .values("name")
        .annotate(count=Count("pk"))
        .filter(count__gte=STARTS)
        .order_by("name")
    )
    for row in starts:
        if row["name"] == Heartbeat.Process.WEB and row["count"] < STARTS * settings.WEB_WORKERS:
            continue  # each process of one web server records its start
        label = str(Heartbeat.Process(row["name"]).label)
        fields = {_("starts within ten minutes"): str(row["count"])}
        yield Trouble("restart_loop", label, f"{row['name']} starts again and again", fields)


def _missing_days(*, now: datetime) -> Iterator[Trouble]:
    if missing := duties.missing_days(now=now):
        fields = {_("days"): str(len(missing)), _("oldest"): str(missing[0])}
        yield Trouble("day_missing", str(missing[0]), f"{missing[0]} is not closed", fields)


def _old_backup(*, now: datetime) -> Iterator[Trouble]:
    last = duties.last_backup_if_old(now=now)
    if last is not None:
        yield Trouble("backup_overdue", "", f"no backup since {last}", {_("since"): format_deadline(last)})


def _outboxes(*, now: datetime) -> Iterator[Trouble]:
    """Yield what waits for Stripe or the mail server too long, or was given up; three queries."""
    failed = StripeEvent.objects.failed().aggregate(count=Count("pk"), oldest=Min("received_at"))
    if failed["count"]:
        fields = {_("events"): str(failed["count"]), _("oldest"): format_deadline(failed["oldest"])}
        yield Trouble("events_failing", "", f"{failed['count']} events of Stripe fail", fields)
    late = Q(created_at__lt=now - OUTBOX_PATIENCE)
    mails = OutgoingMail.objects.aggregate(
        waiting=Count("pk", filter=late & Q(status=OutgoingMail.Status.QUEUED)),
        given_up=Count("pk", filter=Q(status=OutgoingMail.Status.FAILED)),
        oldest=Min("created_at", filter=~Q(status=OutgoingMail.Status.SENT)),
    )
    if mails["waiting"] or mails["given_up"]:
        fields = {
            _("mails that wait"): str(mails["waiting"]),
            _("given up"): str(mails["given_up"]),
            _("oldest"): format_deadline(mails["oldest"]),
        }
        yield Trouble("mail_waiting", "", f"{mails['waiting']} mails wait", fields)
    refunds = Refund.objects.requested().filter(requested_at__lt=now - OUTBOX_PATIENCE)
    waiting = refunds.aggregate(count=Count("pk"), oldest=Min("requested_at"))
    if waiting["count"]:
        fields = {_("refunds"): str(waiting["count"]), _("oldest"): format_deadline(waiting["oldest"])}
        yield Trouble("refunds_waiting", "", f"{waiting['count']} refunds wait for Stripe", fields)


def _large_refunds(*, now: datetime) -> Iterator[Trouble]:
    large = Refund.objects.filter(
        requested_at__gte=now - REFUND_SHOWN, amount__gte=settings.ALERT_REFUND_FROM
    ).select_related("order")
    for refund in large.order_by("pk")[:MAX_REFUNDS]:
        fields = {_("order"): refund.order.number, _("amount"): yen(refund.amount)}
        yield Trouble("large_refund", f"#{refund.pk}", f"refund {refund.pk} of {refund.amount} JPY", fields)


def start() -> None:
    """Start the watch of this web process, and deliver what waits since an earlier one.

    `settings.PROCESS_START` names this function.
    """
    courier.start()
    threading.Thread(target=_run, name="watch", daemon=True).start()


def _run() -> None:
    started_at = timezone.now()
    watch = Watch(
        started_at=started_at,
        database_works=limited("database", check_whole_database),
        storage_works=limited("storage", check_evidence_storage),
    )
    beginning = Part("watch-start", lambda: record_start(Heartbeat.Process.WEB, now=started_at))
    look = Part("watch", lambda: watch.look(now=timezone.now()))
    flush = Part("figures", lambda: figures.flush(now=timezone.now()))
    recorded = False
    while True:
        flush.begin()
        with suppress(RuntimeError):  # the part has logged what failed; the watch must live
            try:
                if not recorded:
                    beginning.begin()
                    beginning.answer(until=time.monotonic() + CHECK_SECONDS)
                    recorded = True
                look.begin()
                look.answer(until=time.monotonic() + LOOK_SECONDS)
            except Hangs:
                logger.exception("the database hangs", extra=alert("database_down"))
        time.sleep(settings.WATCH_SECONDS)
