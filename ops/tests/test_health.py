"""`/health` reports whether this process can serve, whatever hangs."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from kikaku.testing.database import engine, on_d1
from kikaku.testing.serving import ROOT, Server, served
from ledger.testing.crashes.lock import locked_by_another_process, not_on_postgresql
from ops.health import duties, parts, report, view
from ops.health.parts import Hangs, Part
from ops.jobs.schedule import JOBS
from ops.models import Heartbeat, JobRun
from ops.testing.disk import full_disk

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k3y-Zq8xW2vB7nM4tR9pL6sD1fG5hJ0c"
PUBLIC = {"ok": True, "database": "ok", "r2": "ok", "threads": "ok", "environment": "development"}
LIMIT = 2.0  # seconds, whatever hangs


@pytest.fixture(autouse=True)
def fresh_parts() -> Iterator[None]:
    """Forget the answers that an earlier test got."""
    asked: list[Part[Any]] = [
        view.database_part,
        view.write_part,
        view.storage_part,
        view.deep_part,
        view.details_part,
    ]
    for part in asked:
        part.forget()
    yield
    for part in asked:  # its thread would write into the next test's database
        part._run.ended.wait(10)


def alive() -> None:
    """Write what a shop has whose worker lives."""
    now = timezone.now()
    Heartbeat.objects.update_or_create(name="worker", defaults={"beat_at": now, "started_at": now})
    for name in JOBS:
        JobRun.objects.create(
            job=name,
            scheduled_for=now,
            claimed_until=now,
            started_at=now,
            finished_at=now,
            succeeded=True,
        )


def test_a_healthy_shop_is_200_and_says_no_more_than_that(client: Client) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, PUBLIC)
    assert "no-store" in answer["Cache-Control"]
    assert not answer.cookies


def test_a_pool_of_threads_that_hangs_is_503(client: Client) -> None:
    class HangingDoor:
        def hung_pools(self) -> list[str]:
            return ["pages", "staff"]

    answer = client.get("/health", **{"kikaku.door": HangingDoor()})  # type: ignore[arg-type]
    assert answer.status_code == 503
    assert answer.json()["threads"] == "hung: pages, staff" and answer.json()["database"] == "ok"


def test_a_storage_that_cannot_be_written_is_503(client: Client, settings: Settings, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file-where-a-folder-should-be"
    blocked.write_text("")
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": blocked},
        },
    }
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["r2"] == "error" and answer.json()["database"] == "ok" and not answer.json()["ok"]


class SilentServer:
    """A socket that accepts connections and never answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                self.connections.append(self.socket.accept()[0])
        except OSError:
            pass

    def close(self) -> None:
        """Close everything, so that whoever waits gets an error."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection_ in self.connections:
            connection_.close()


def test_an_r2_that_never_answers_is_503_within_two_seconds_and_is_asked_once(
    client: Client, settings: Settings
) -> None:
    silent = SilentServer()
    settings.STORAGES = {
        **settings.STORAGES,
        "evidence": {
            "BACKEND": "storages.backends.s3.S3Storage",
            "OPTIONS": {
                "endpoint_url": f"http://127.0.0.1:{silent.port}",
                "access_key": "a",
                "secret_key": "b",
                "bucket_name": "private",
                "region_name": "auto",
            },
        },
    }
    for _request in range(3):
        began = time.monotonic()
        answer = client.get("/health")
        assert time.monotonic() - began < LIMIT
        assert answer.status_code == 503 and answer.json()["r2"] == "error"
        assert answer.json()["database"] == "ok"
    assert sum(thread.name == "health-storage" for thread in threading.enumerate()) == 1
    silent.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.engine_independent
def test_three_probes_at_once_are_each_answered_within_two_seconds_while_r2_hangs(tmp_path: Path) -> None:
    silent = SilentServer()
    variables = {
        "R2_ENDPOINT_URL": f"http://127.0.0.1:{silent.port}",
        "R2_ACCESS_KEY_ID": "a",
        "R2_SECRET_ACCESS_KEY": "b",
        "R2_PRIVATE_BUCKET": "private",
        "R2_PUBLIC_BUCKET": "public",
        "R2_PUBLIC_URL": "https://files.example.jp",
    }

    def probe(server: Server) -> tuple[int, str]:
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)) as connection_:
            connection_.request("GET", "/health")
            answer = connection_.getresponse()
            return answer.status, json.load(answer)["r2"]

    try:
        with (
            served(tmp_path, settings="ops.testing.fault_settings", variables=variables) as server,
            ThreadPoolExecutor(3) as threads,
        ):
            for _round in range(2):
                answers = list(threads.map(probe, [server] * 3))
                assert answers == [(503, "error")] * 3
    finally:
        silent.close()


@pytest.mark.skipif(engine() == "sqlite", reason="a file does not hang")
def test_a_database_that_never_answers_is_503_within_two_seconds(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = SilentServer()
    try:
        with monkeypatch.context() as away:
            away.setitem(connection.settings_dict, "HOST", "127.0.0.1")
            away.setitem(connection.settings_dict, "PORT", str(silent.port))
            began = time.monotonic()
            answer = client.get("/health?deep=1")
            assert time.monotonic() - began < LIMIT
        assert answer.status_code == 503
        assert answer.json()["database"] == "error" and answer.json()["worker"] == "unknown"
    finally:
        silent.close()


def test_a_part_that_hangs_has_one_thread_and_is_asked_again_when_it_is_back() -> None:
    asked: list[int] = []
    release = threading.Event()

    def ask() -> bool:
        asked.append(1)
        return release.wait(20)

    part = Part("slow", ask)
    for _request in range(3):
        part.begin()
        with pytest.raises(Hangs):
            part.answer(until=time.monotonic() + 0.05)
    assert len(asked) == 1
    release.set()
    assert part.answer(until=time.monotonic() + 5)
    part.begin()
    assert part.answer(until=time.monotonic() + 5) and len(asked) == 2


def test_who_waits_for_an_answer_gets_it_although_another_asks_again() -> None:
    release = threading.Event()
    questions: Iterator[Callable[[], bool]] = iter([lambda: True, lambda: release.wait(20)])
    part = Part("shared", lambda: next(questions)())
    part.begin()
    first = part._run
    wait = first.ended.wait

    def ask_again(timeout: float | None = None) -> bool:
        """Begin the next question between the end of the first and the reading of its answer."""
        ended = wait(timeout)
        part.begin()
        return ended

    first.ended.wait = ask_again  # type: ignore[method-assign]
    try:
        assert part.answer(until=time.monotonic() + 10)
        assert part._run is not first
    finally:
        release.set()


def test_an_answer_is_kept_for_its_seconds() -> None:
    asked: list[float] = []
    now = [100.0]

    def ask() -> bool:
        asked.append(now[0])
        return True

    part = Part("kept", ask, seconds=30, clock=lambda: now[0])
    for second in (100.0, 110.0, 129.9, 130.0, 131.0):
        now[0] = second
        part.begin()
        assert part.answer(until=time.monotonic() + 5)
    assert asked == [100.0, 130.0]


def test_the_database_is_written_by_its_check() -> None:
    assert parts.check_database_writes()
    assert Heartbeat.objects.get(name="web").beat_at <= timezone.now()


def test_a_new_web_process_replaces_the_start_of_an_earlier_one() -> None:
    long_ago = timezone.now() - timedelta(days=90)
    Heartbeat.objects.create(name="web", beat_at=long_ago, started_at=long_ago)
    assert parts.check_database_writes()
    beat = Heartbeat.objects.get(name="web")
    assert beat.started_at == parts.STARTED_AT <= beat.beat_at


@pytest.mark.skipif(engine() != "sqlite", reason="the test cannot fill the disk of a database server")
def test_a_full_disk_is_503_until_there_is_room(client: Client) -> None:
    assert client.get("/health").status_code == 200
    view.write_part.forget()
    with full_disk():
        answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["database"] == "error"
    view.write_part.forget()
    assert client.get("/health").status_code == 200


@not_on_postgresql
def test_a_database_that_another_process_writes_for_long_is_healthy(client: Client) -> None:
    if on_d1():
        pytest.skip("D1 has no lock")
    with locked_by_another_process():
        answer = client.get("/health")
    assert answer.status_code == 200


def test_the_probe_leaves_no_file(client: Client, settings: Settings) -> None:
    client.get("/health")
    assert [path for path in Path(settings.EVIDENCE_ROOT).rglob("*") if path.is_file()] == []


def test_only_reading_is_allowed(client: Client) -> None:
    assert client.post("/health").status_code == 405
    assert client.head("/health").status_code == 200


def test_deep_is_503_while_the_worker_is_silent_or_a_job_is_overdue(client: Client) -> None:
    assert client.get("/health?deep=1").status_code == 503
    alive()
    answer = client.get("/health?deep=1")
    assert (answer.status_code, answer.json()) == (200, {**PUBLIC, "worker": "ok", "overdue_jobs": []})

    JobRun.objects.filter(job="mail").update(finished_at=timezone.now() - timedelta(minutes=4))
    answer = client.get("/health?deep=1")
    assert answer.status_code == 503 and answer.json()["overdue_jobs"] == ["mail"]
    JobRun.objects.filter(job="mail").update(finished_at=timezone.now())

    Heartbeat.objects.filter(name="worker").update(beat_at=timezone.now() - timedelta(seconds=121))
    answer = client.get("/health?deep=1")
    assert answer.status_code == 503 and answer.json()["worker"] == "silent"
    assert client.get("/health").status_code == 200  # the process itself can serve


@pytest.mark.parametrize("given", ["", "wrong", KEY[:-1], KEY + "0", "é"])
def test_a_wrong_key_gets_nothing(client: Client, settings: Settings, given: str) -> None:
    settings.ADMIN_API_KEY = KEY
    answer = client.get("/health", headers={"x-admin-key": given})
    assert answer.status_code == 403 and "database" not in answer.json()
    assert "release" not in client.get(f"/health?x-admin-key={KEY}&admin_key={KEY}").json()


def test_without_a_configured_key_no_key_is_right(client: Client) -> None:
    assert client.get("/health", headers={"x-admin-key": ""}).status_code == 403


def test_the_key_opens_the_details_without_any_secret(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ADMIN_API_KEY, settings.RELEASE = KEY, "a1b2c3d"
    for name in report.SECRETS:
        monkeypatch.setenv(name, "" if name == "SENTRY_DSN" else f"hush-{name}")
    alive()
    answer = client.get("/health", headers={"x-admin-key": KEY})
    found = answer.json()
    assert answer.status_code == 200, found
    assert found["release"] == "a1b2c3d" and found["engine"] == engine() and found["storage"] == "disk"
    assert found["database_ms"] >= 0 and found["worker_heartbeat_seconds"] < 60
    assert set(found["oldest_waiting_seconds"]) == {"event", "mail", "refund", "balance_transaction"}
    assert set(found["last_success"]) == set(JOBS) and all(found["last_success"].values())
    assert found["pending_migrations"] == 0 and found["missing_days"] == [] and found["queue"] == 0
    assert found["secrets"] == {name: name != "SENTRY_DSN" for name in report.SECRETS}
    for secret in (KEY, "hush", settings.SECRET_KEY, *settings.STRIPE_WEBHOOK_SECRETS):
        assert secret not in json.dumps(found)
    assert any("SENTRY_DSN" in warning for warning in found["warnings"])


def test_every_secret_that_the_example_lists_is_among_the_details() -> None:
    listed = re.findall(r"^([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    sounds_secret = {name for name in listed if re.search("SECRET|TOKEN|_KEY|PASSWORD|DSN|WEBHOOK", name)}
    assert sounds_secret - {"STRIPE_PUBLISHABLE_KEY"} <= set(report.SECRETS) <= set(listed)


@pytest.mark.skipif(engine() != "sqlite", reason="reads SQLite's query plan")
def test_the_runs_of_the_jobs_are_found_by_the_index() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    for minute in range(3):
        moment = at + timedelta(minutes=minute)
        JobRun.objects.create(
            job="mail",
            scheduled_for=moment,
            claimed_until=moment,
            started_at=moment,
            finished_at=moment + timedelta(seconds=2),
            succeeded=minute < 2,
        )
    with CaptureQueriesContext(connection) as queries:
        runs = duties.job_runs()
    assert runs == {"mail": duties.Runs(at, at + timedelta(minutes=1, seconds=2))}
    (query,) = queries.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
        plan = [row[3] for row in cursor.fetchall()]
    assert sum("USING INDEX" in step for step in plan) == 2 * len(JOBS), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
