"""The operations page: how the shop runs, against its targets."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.brokers import get_broker

from kikaku.days import business_day, day_bounds
from ledger.models import DailyClose, StripeEvent
from ops.health.duties import last_successes
from ops.metrics import figures
from ops.metrics.figures import Counts
from ops.models import DatabaseSize, JobRun

SUCCESS_TARGET, ERROR_TARGET = 99.0, 1.0  # percent: at least, at most
P95_TARGET = 500  # ms, less than
SPANS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
CLOSE_DAYS = SIZE_DAYS = 30
LAG_EVENTS = 500  # the newest events, whose delay is shown


@dataclass(frozen=True)
class Span:
    """What was measured within a span of time; `None` where nothing was."""

    title: str
    requests: int
    success: float | None  # percent without server errors
    errors: float | None  # percent
    median: float | None  # ms
    p95: float | None  # ms

    @property
    def meets_success(self) -> bool:
        """Return whether the success is above its target."""
        return self.success is None or self.success > SUCCESS_TARGET

    @property
    def meets_errors(self) -> bool:
        """Return whether errors are below their target."""
        return self.errors is None or self.errors < ERROR_TARGET

    @property
    def meets_p95(self) -> bool:
        """Return whether the slowest twentieth begins below its target."""
        return self.p95 is None or self.p95 < P95_TARGET


@dataclass(frozen=True)
class Bar:
    """A bar of a chart: its height in percent, and what it says."""

    label: str
    height: int
    text: str
    is_alarm: bool = False


def span_of(title: str, counts: Counts) -> Span:
    """Return the figures of a span."""
    requests = counts.requests
    errors = 100 * counts.server_errors / requests if requests else None
    return Span(
        title,
        requests,
        None if errors is None else round(100 - errors, 2),
        None if errors is None else round(errors, 2),
        counts.percentile(50),
        counts.percentile(95),
    )


def spans(*, now: datetime) -> list[Span]:
    """Return the last hour, day and week; a query each.

    Probes are left out: they are many and quick, and their 503 tells of the worker, not of a request.
    """
    titles = (_("last hour"), _("last 24 hours"), _("last 7 days"))
    found = []
    for title, span in zip(titles, SPANS, strict=True):
        groups = figures.read(now - span)
        groups.pop("probe", None)
        found.append(span_of(title, figures.total(groups.values())))
    return found


def webhook_lag() -> tuple[float | None, float | None]:
    """Return the median and the longest seconds from receipt to handling of the newest events; one query."""
    lags = sorted(
        (processed - received).total_seconds()
        for received, processed in StripeEvent.objects.filter(processed_at__isnull=False)
        .order_by("-received_at")
        .values_list("received_at", "processed_at")[:LAG_EVENTS]
        if processed is not None
    )
    return (round(lags[len(lags) // 2], 1), round(lags[-1], 1)) if lags else (None, None)


def closes(*, today: date) -> list[Bar]:
    """Return the last 30 days: how long after its end each was closed; one query."""
    first = today - timedelta(days=CLOSE_DAYS)
    rows = DailyClose.objects.filter(day__gte=first, closed_at__isnull=False)
    closed = {row.day: row.closed_at for row in rows.only("day", "closed_at") if row.closed_at}
    dates = [first + timedelta(days=number) for number in range(CLOSE_DAYS)]
    hours = {day: (at - day_bounds(day)[1]) / timedelta(hours=1) for day, at in closed.items()}
    most = max([1.0, *hours.values()])
    return [
        Bar(
            f"{day:%m/%d}",
            max(4, round(100 * hours[day] / most)) if day in hours else 100,
            _("closed %(time)s") % {"time": f"{timezone.localtime(closed[day]):%m/%d %H:%M}"}
            if day in hours
            else _("not closed"),
            is_alarm=day not in hours,
        )
        for day in dates
    ]


def sizes(*, today: date) -> list[Bar]:
    """Return the size of the database on each day that is known; one query."""
    known = list(DatabaseSize.objects.filter(day__gt=today - timedelta(days=SIZE_DAYS)).order_by("day"))
    most = max((row.size for row in known), default=1)
    return [
        Bar(f"{row.day:%m/%d}", max(1, round(100 * row.size / most)), f"{row.size / 1_000_000:,.1f} MB")
        for row in known
    ]


def operations_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Return the page; its queries are constant."""
    now = timezone.now()
    today = business_day(now)
    median, longest = webhook_lag()
    return TemplateResponse(
        request,
        "ops/operations.html",
        {
            **context,
            "title": _("How the shop runs"),
            "spans": spans(now=now),
            "targets": {"success": SUCCESS_TARGET, "errors": ERROR_TARGET, "p95": P95_TARGET},
            "lag": {"median": median, "longest": longest},
            "queue": get_broker().queue_size(),
            "jobs": jobs(),
            "closes": closes(today=today),
            "sizes": sizes(today=today),
        },
    )


def jobs() -> list[dict[str, Any]]:
    """Return each job with its last success; one query."""
    labels = dict(JobRun.Job.choices)
    return [
        {"label": labels[name], "last": last} for name, last in last_successes().items() if name in labels
    ]
