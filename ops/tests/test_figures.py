"""Requests are counted across processes; the operations page and /metrics show them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.db import connection
from django.utils import timezone
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kikaku.testing.database import database_environment
from ops.health.metrics import ShopCollector
from ops.metrics import figures, size
from ops.metrics.figures import Counts
from ops.models import DatabaseSize, RequestFigures
from ops.testing.house import SETTINGS
from ops.testing.outside import wait_for
from ops.testing.processes import Processes

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, 3, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """Forget what earlier tests counted."""
    figures._counts.clear()


def test_counts_of_several_processes_add_up_in_one_row_of_ten_minutes() -> None:
    for _process in range(3):
        for milliseconds in (1, 30, 30, 6_000):
            figures.count("product", 200, milliseconds / 1_000)
        figures.count("product", 404, 0.001)
        figures.count("admin:index", 500, 0.3)
        figures.flush(now=NOW)
    found = figures.read(NOW - timedelta(hours=1))
    shop, admin = found["shop"], found["admin"]
    assert (shop.succeeded, shop.client_errors, shop.server_errors) == (12, 3, 0)
    assert (admin.requests, admin.server_errors) == (3, 3)
    assert RequestFigures.objects.count() == 4  # two groups, in their ten minutes and in all
    assert figures.read_totals() == found
    assert figures.read(NOW + timedelta(hours=1)) == {}


def test_the_time_of_pages_below_a_millisecond_adds_up() -> None:
    for _flush in range(5):
        for _page in range(100):
            figures.count("product", 200, 0.0002)
        figures.flush(now=NOW)
    assert figures.read_totals()["shop"].total_us == 100_000
    text = generate_latest(ShopCollector()).decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    (seconds,) = (one.value for one in samples if one.name == "kikaku_request_seconds_sum")
    assert seconds == pytest.approx(0.1)


def test_percentiles_lie_in_their_bucket() -> None:
    counts = Counts(buckets=[0] * 11)
    assert counts.percentile(95) is None
    counts.buckets[3] = 90  # 25 to 50 ms
    counts.buckets[6] = 10  # 250 to 500 ms
    median, slow = counts.percentile(50), counts.percentile(95)
    assert median is not None and 25 < median <= 50
    assert slow is not None and 250 < slow <= 500
    counts.buckets[10] = 1_000
    assert counts.percentile(95) == 5_000


def test_what_cannot_be_stored_is_kept_for_the_next_time() -> None:
    figures.count("product", 200, 0.001)

    def fail(*_: object) -> None:
        figures.count("product", 404, 0.001)  # a request that ends while the database does not answer
        raise RuntimeError("gone")

    with connection.execute_wrapper(fail), pytest.raises(RuntimeError):
        figures.flush(now=NOW)
    figures.count("product", 200, 0.001)
    figures.flush(now=NOW)
    shop = figures.read(NOW)["shop"]
    assert (shop.succeeded, shop.client_errors, sum(shop.buckets)) == (2, 1, 3)


def test_old_rows_are_deleted_but_the_total_stays() -> None:
    figures.count("product", 200, 0.001)
    figures.flush(now=NOW - timedelta(days=9))
    assert figures.prune(now=NOW) == 1
    assert figures.read_totals()["shop"].succeeded == 1


def test_the_size_of_the_database_is_stored_once_a_day() -> None:
    for _run in range(2):
        size.record_size(now=timezone.now())
    found = list(DatabaseSize.objects.values_list("size", flat=True))
    assert len(found) == 1 and found[0] > 10_000


@pytest.mark.django_db(transaction=True)
def test_each_web_process_shows_the_sum_of_all(tmp_path: Path) -> None:
    key = "k3y-Zq8xW2vB7nM4tR9pL6sD1fG5hJ0c"
    variables = {**database_environment(), "ADMIN_API_KEY": key}
    webs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        webs.append(Processes(tmp_path / name, variables, settings=SETTINGS))

    def counted(web: Processes) -> float:
        request = Request(f"{web.address}/metrics", headers={"x-admin-key": key})
        text = urlopen(request, timeout=10).read().decode()
        (family,) = (each for each in text_string_to_metric_families(text) if each.name == "kikaku_requests")
        labels = {"group": "shop", "status": "2xx-3xx"}
        return sum(one.value for one in family.samples if labels.items() <= one.labels.items())

    try:
        for web, requests in zip(webs, (3, 4), strict=True):
            web.start("web")
            for _request in range(requests):
                urlopen(f"{web.address}/cart/", timeout=10).read()
        assert wait_for(lambda: [counted(web) for web in webs] == [7, 7], seconds=30)
    finally:
        for web in webs:
            web.close()
