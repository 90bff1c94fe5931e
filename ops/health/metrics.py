"""`GET /metrics` for Prometheus, behind the admin key; the sums are those of all processes.

Each web process adds its counts to rows every half minute (`ops.metrics.figures`), so any process can answer,
and the counters outlive restarts.
"""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from ops.health import report
from ops.health.view import has_admin_key
from ops.metrics import figures
from ops.models import Alert


class ShopCollector:
    """Collects what the rows say at the moment of a scrape; about fifteen queries."""

    def collect(self) -> Iterator[Any]:
        """Yield the metrics."""
        requests = CounterMetricFamily("kikaku_requests", "Requests", labels=["group", "status"])
        seconds = HistogramMetricFamily("kikaku_request_seconds", "Time of requests", labels=["group"])
        for group, counts in figures.read_totals().items():
            requests.add_metric([group, "2xx-3xx"], counts.succeeded)
            requests.add_metric([group, "4xx"], counts.client_errors)
            requests.add_metric([group, "5xx"], counts.server_errors)
            below, buckets = 0, []
            for limit, count in zip([*figures.BUCKETS, None], counts.buckets, strict=True):
                below += count
                buckets.append(("+Inf" if limit is None else str(limit / 1_000), below))
            seconds.add_metric([group], buckets=buckets, sum_value=counts.total_us / 1_000_000)
        yield requests
        yield seconds
        now = timezone.now()
        found = report.details(now=now)
        yield gauge("kikaku_worker_heartbeat_seconds", "Age of it", found["worker_heartbeat_seconds"])
        yield gauge("kikaku_queue_length", "Jobs that are queued", found["queue"])
        yield gauge("kikaku_days_not_closed", "Days that should be closed", len(found["missing_days"]))
        yield gauge("kikaku_alerts", "Alerts that are not over", Alert.objects.ongoing().count())
        waiting = GaugeMetricFamily("kikaku_oldest_waiting_seconds", "Age of the oldest", labels=["kind"])
        for kind, age in found["oldest_waiting_seconds"].items():
            waiting.add_metric([kind], age or 0)
        yield waiting
        overdue = GaugeMetricFamily("kikaku_job_overdue", "1 if a job is overdue", labels=["job"])
        for name in found["last_success"]:
            overdue.add_metric([name], int(name in found["overdue_jobs"]))
        yield overdue


def gauge(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    """Return a gauge; without a value if there is none."""
    return GaugeMetricFamily(name, help_text, value=value)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics; 404 without a configured key, 403 for a wrong one."""
    if not settings.ADMIN_API_KEY:
        return HttpResponse("ADMIN_API_KEY is not set\n", status=404, content_type="text/plain")
    if not has_admin_key(request):
        return HttpResponse("x-admin-key is missing or wrong\n", status=403, content_type="text/plain")
    registry = CollectorRegistry()
    registry.register(ShopCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
