"""Each request has one line in the log, with an id that its errors, jobs and Stripe calls share."""

import io
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku import wsgi
from kikaku.client_address import edge_proof
from kikaku.sandbox import Sandbox
from ledger.testing import build as sale
from ops.jobs import schedule
from ops.jobs.schedule import Job
from ops.logs import setup
from ops.metrics import figures, requests
from ops.metrics.requests import RequestLog
from ops.web import errors
from shop.testing import build
from shop.testing.wsgi import ask

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k3y-Zq8xW2vB7nM4tR9pL6sD1fG5hJ0c"


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """Forget what earlier tests counted."""
    figures._counts.clear()


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Write the log as production does; return the requests' lines since the last question."""
    monkeypatch.setattr(requests, "PRODUCTION", True)
    monkeypatch.setattr(requests, "RELEASE", "a1b2c3d")

    def read() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == "request"]

    return read


def test_each_request_has_one_line_with_its_route_and_never_its_path(
    lines: Lines,
) -> None:
    build.product()
    token = "Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6"
    for path in ("/products/madoka/", "/products/madoka/", f"/orders/{token}/", "/nothing/hanako@example.jp"):
        ask(wsgi.application, path)
    found = lines()
    assert [(line["route"], line["status"]) for line in found] == [
        ("product", 200),
        ("product", 200),
        ("order", 404),
        ("", 404),
    ]
    assert found[1]["queries"] <= 1 <= found[2]["queries"]  # the stored page asks for the version alone
    for line in found:
        assert set(line) == {
            *("event", "timestamp", "level", "method", "route", "status", "ms", "queries"),
            *("request_id", "release"),
        }
        assert line["method"] == "GET" and line["ms"] >= 0 and line["release"] == "a1b2c3d"
    assert len({line["request_id"] for line in found}) == 4
    assert token not in json.dumps(found) and "hanako" not in json.dumps(found)


def test_log_records_of_a_request_carry_its_id_and_those_after_it_do_not() -> None:
    seen: list[str] = []

    def application(environ: Any, start: Any) -> list[bytes]:
        seen.append(setup.current_request.get())
        start("200 OK", [])
        return [b""]

    environ = RequestFactory().get("/").environ
    RequestLog(application)(environ, lambda *_: bytes)
    assert seen == [environ["kikaku.request_id"]] and setup.current_request.get() == ""


def test_only_a_request_that_our_worker_proves_has_the_id_of_cloudflare(settings: Settings) -> None:
    settings.D1_GATEWAY_SECRET = secret = "s3cret-of-the-worker-0123456789abcdef"
    address = "203.0.113.7"
    proof = edge_proof(address, int(time.time()), secret)
    ray = "8f2a1b3c4d5e6f70"

    def id_of(ray: str, proof: str) -> str:
        environ = RequestFactory().get("/").environ
        environ |= {"HTTP_CF_RAY": ray, "HTTP_CF_CONNECTING_IP": address, "HTTP_X_KIKAKU_EDGE": proof}
        RequestLog(lambda _environ, _start: [])(environ, lambda *_: bytes)
        return str(environ["kikaku.request_id"])

    assert id_of(f"{ray}-NRT", proof) == id_of(ray, proof) == ray
    assert id_of(ray, "") != ray and id_of(ray, edge_proof(address, int(time.time()), "another")) != ray
    for forged in ('"}\n{"event": "x', ray + "\n", ray.upper(), "hanako@example.jp"):
        assert forged not in (name := id_of(forged, proof)) and len(name) == 16


def test_an_error_page_and_its_header_show_the_id_of_its_line(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("shop.views.errors.not_found", fail)
    answer = ask(wsgi.application, "/nothing-here/")
    [line] = lines()
    assert answer.status == line["status"] == 500
    assert answer.headers["x-request-id"] == line["request_id"]
    assert f"お問い合わせ番号： {line['request_id']}" in answer.page


def test_an_error_page_of_the_admin_shows_the_id_too() -> None:
    request = RequestFactory().get("/admin/")
    request.META["kikaku.request_id"] = "0123456789abcdef"
    assert "0123456789abcdef" in errors.server_error(request).content.decode()


def test_a_job_and_its_stripe_calls_share_an_id(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from ledger.stripe import client

    out = io.StringIO()
    setup.configure(production=True, stream=out)
    try:
        order = sale.order()
        session = sale.session_of(order)

        def work(now: Any) -> str:
            client.retrieve_session(session)
            return "done"

        monkeypatch.setitem(schedule.JOBS, "mail", Job("mail", work, schedule.every(1), minutes=1))
        assert schedule.run("mail", now=timezone.now())
    finally:
        setup.configure(production=False)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    mine = [line for line in found if line.get("job") == "mail"]
    assert any(line["event"].startswith("Stripe answered request req_") for line in mine), found
    assert len({line["request_id"] for line in mine}) == 1


def test_a_request_that_the_front_door_refuses_is_counted_and_logged(
    lines: Lines,
) -> None:
    from ops.metrics.requests import observe_refusal

    observe_refusal("POST", 413, 0.2)
    [line] = lines()
    assert (line["method"], line["status"], line["route"]) == ("POST", 413, "")
    assert figures._counts["shop"].client_errors == 1


def test_metrics_are_for_the_key_alone_and_can_be_parsed(client: Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 404
    settings.ADMIN_API_KEY = KEY
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"x-admin-key": "wrong"}).status_code == 403
    for seconds in (0.003, 0.03, 9.0):
        figures.count("product", 200, seconds)
    figures.flush(now=timezone.now())
    answer = client.get("/metrics", headers={"x-admin-key": KEY})
    assert answer.status_code == 200
    families = {each.name: each for each in text_string_to_metric_families(answer.content.decode())}
    requests = {
        (sample.labels["group"], sample.labels["status"]): sample.value
        for sample in families["kikaku_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests["shop", "2xx-3xx"] >= 3
    buckets = [
        sample.value
        for sample in families["kikaku_request_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["group"] == "shop"
    ]
    assert buckets == sorted(buckets) and buckets[-1] >= 3
    assert {"kikaku_queue_length", "kikaku_oldest_waiting_seconds", "kikaku_job_overdue"} <= set(families)


def test_the_operations_page_shows_the_figures_in_a_constant_number_of_queries(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(100):
        figures.count("product", 500 if number < 3 else 200, 0.02 if number < 90 else 2.0)
        figures.count("health", 503, 0.001)  # a probe is no visitor's request
    figures.flush(now=timezone.now())
    with django_assert_max_num_queries(16):
        page = admin_client.get(reverse("admin:ops_jobrun_operations")).content.decode()
    for text in ("稼働状況", "97.0 %", "3.0 %", "running-missed", "未締め", "P95"):
        assert text in page, text


def test_the_operations_page_is_for_who_may_see_job_runs(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("clerk", is_staff=True))
    assert client.get(reverse("admin:ops_jobrun_operations")).status_code == 403


def test_django_logs_no_second_line_for_a_refused_request() -> None:
    setup.configure(production=False)
    assert logging.getLogger("django.request").getEffectiveLevel() == logging.ERROR
