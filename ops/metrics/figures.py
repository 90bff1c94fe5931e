"""How many requests succeeded and how long they took, by group and ten minutes.

Each web process counts in memory and adds its counts to the rows every half minute, in one statement: no
request waits for it, and the rows are those of all processes.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.db import connection

from kikaku.transactions import unit_of_work
from ops.models import RequestFigures

SLOT = timedelta(minutes=10)
KEPT = timedelta(days=8)
BUCKETS = RequestFigures.BUCKETS  # upper limits in ms; the last bucket has none
TOTAL = datetime(1970, 1, 1, tzinfo=UTC)  # the row of all times, from which Prometheus reads

COLUMNS = ("succeeded", "client_errors", "server_errors", "total_us", *RequestFigures.bucket_names())
ADD_SQL = (  # all names are ours
    f"INSERT INTO ops_requestfigures (at, route_group, {', '.join(COLUMNS)}) VALUES %s"  # noqa: S608
    " ON CONFLICT (at, route_group) DO UPDATE SET "
    + ", ".join(f"{name} = ops_requestfigures.{name} + excluded.{name}" for name in COLUMNS)
)


@dataclass(slots=True)
class Counts:
    """Counts of one group: by status, and how many requests ended within each bucket's limit."""

    succeeded: int = 0
    client_errors: int = 0
    server_errors: int = 0
    total_us: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))

    @property
    def requests(self) -> int:
        """Return the number of requests."""
        return self.succeeded + self.client_errors + self.server_errors

    def percentile(self, percent: int) -> float | None:
        """Return an estimate in ms: linear within its bucket; the last limit if it lies beyond it."""
        total = sum(self.buckets)
        if not total:
            return None
        rank, below = total * percent / 100, 0
        for number, limit in enumerate(BUCKETS):
            count = self.buckets[number]
            if count and below + count >= rank:
                low = BUCKETS[number - 1] if number else 0
                return round(low + (limit - low) * (rank - below) / count, 1)
            below += count
        return float(BUCKETS[-1])


_lock = threading.Lock()
_counts: dict[str, Counts] = {}


@lru_cache(maxsize=512)
def group_of(route: str) -> str:
    """Return the group of a route: admin, webhook, probe, machine, or shop."""
    if route.startswith(("admin:", "account_", "mfa_")):
        return "admin"
    if route == "stripe_webhook":
        return "webhook"
    if route in ("health", "metrics"):
        return "probe"
    return "machine" if route.startswith("api_") else "shop"


def count(route: str, status: int, seconds: float) -> None:
    """Count one request in memory."""
    milliseconds = seconds * 1_000
    bucket = bisect_left(BUCKETS, milliseconds)
    group = group_of(route)
    with _lock:
        counts = _counts.get(group)
        if counts is None:
            counts = _counts[group] = Counts()
        if status < 400:
            counts.succeeded += 1
        elif status < 500:
            counts.client_errors += 1
        else:
            counts.server_errors += 1
        counts.total_us += round(seconds * 1_000_000)
        counts.buckets[bucket] += 1


def flush(*, now: datetime) -> None:
    """Add what was counted to the rows, in one statement; keep it for the next time if that fails."""
    global _counts
    with _lock:
        counted, _counts = _counts, {}
    if not counted:
        return
    try:
        _add(counted, now=now)
    except Exception:
        with _lock:
            for group, counts in counted.items():
                _counts[group] = _sum([counts, _counts[group]]) if group in _counts else counts
        raise


@unit_of_work
def _add(counted: dict[str, Counts], *, now: datetime) -> None:
    slot = datetime.fromtimestamp(now.timestamp() // SLOT.total_seconds() * SLOT.total_seconds(), tz=UTC)
    rows = [
        [
            connection.ops.adapt_datetimefield_value(at),
            group,
            counts.succeeded,
            counts.client_errors,
            counts.server_errors,
            counts.total_us,
            *counts.buckets,
        ]
        for group, counts in counted.items()
        for at in (slot, TOTAL)
    ]
    marks = ", ".join(f"({', '.join(['%s'] * (len(COLUMNS) + 2))})" for _row in rows)
    with connection.cursor() as cursor:
        cursor.execute(ADD_SQL % marks, [value for row in rows for value in row])


def read(since: datetime) -> dict[str, Counts]:
    """Return the counts of each group since an instant, all processes together; one query."""
    found: dict[str, list[Counts]] = {}
    for row in RequestFigures.objects.filter(at__gte=max(since - SLOT, TOTAL + SLOT)):
        found.setdefault(row.route_group, []).append(_counts_of(row))
    return {group: _sum(all_counts) for group, all_counts in found.items()}


def read_totals() -> dict[str, Counts]:
    """Return the counts of each group since the shop began; one query."""
    return {row.route_group: _counts_of(row) for row in RequestFigures.objects.filter(at=TOTAL)}


def total(groups: Iterable[Counts]) -> Counts:
    """Return the sum of some groups."""
    return _sum(groups)


def _counts_of(row: RequestFigures) -> Counts:
    buckets = [int(getattr(row, name)) for name in RequestFigures.bucket_names()]
    return Counts(row.succeeded, row.client_errors, row.server_errors, row.total_us, buckets)


def _sum(all_counts: Iterable[Counts]) -> Counts:
    result = Counts()
    for counts in all_counts:
        result.succeeded += counts.succeeded
        result.client_errors += counts.client_errors
        result.server_errors += counts.server_errors
        result.total_us += counts.total_us
        result.buckets = [one + other for one, other in zip(result.buckets, counts.buckets, strict=True)]
    return result


@unit_of_work
def prune(*, now: datetime) -> int:
    """Delete the rows of more than eight days ago; return how many."""
    return RequestFigures.objects.filter(at__lt=now - KEPT).exclude(at=TOTAL).delete()[0]
