"""`/health` reports whether this process can serve."""

import json
import threading
import time
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from kikaku.testing.database import engine, on_d1
from ledger.testing.crashes.lock import locked_by_another_process, not_on_postgresql
from ops.health import view as health
from ops.models import Heartbeat
from ops.testing.disk import full_disk

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_probe() -> None:
    """Forget the results that an earlier test got."""
    health.storage_probe._result = health.write_probe._result = None


def test_a_healthy_shop_is_200_after_one_query(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client.get("/health")  # writes, at most twice a minute
    with django_assert_max_num_queries(1):
        answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "database": "ok",
        "r2": "ok",
        "threads": "ok",
        "environment": "development",
    }
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


def test_a_database_that_does_not_answer_is_503(client: Client) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("gone")

    with connection.execute_wrapper(fail):
        answer = client.get("/health")
    assert answer.status_code == 503
    assert json.loads(answer.content)["database"] == "error"


@pytest.mark.django_db(transaction=True)
def test_the_database_is_written_at_most_twice_a_minute() -> None:
    now = [100.0]
    probe = health.Probe(health.write_probe.check, seconds=health.write_probe.seconds, clock=lambda: now[0])
    beats = set()
    for second in (100.0, 110.0, 129.9, 130.0, 131.0):
        now[0] = second
        assert probe()
        beats.add(Heartbeat.objects.get(name="web").beat_at)
    assert len(beats) == 2


@pytest.mark.skipif(engine() != "sqlite", reason="the test cannot fill the disk of a database server")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_503_until_there_is_room(client: Client) -> None:
    assert client.get("/health").status_code == 200  # opens the connection, which reads on a full disk too
    health.storage_probe._result = health.write_probe._result = None
    with full_disk():
        answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["database"] == "error"
    health.storage_probe._result = health.write_probe._result = None
    assert client.get("/health").status_code == 200


@not_on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_database_that_another_process_writes_for_long_is_healthy_and_answered_at_once(
    client: Client,
) -> None:
    if on_d1():
        pytest.skip("D1 has no lock")
    with locked_by_another_process():
        began = time.monotonic()
        answer = client.get("/health")
    assert answer.status_code == 200 and time.monotonic() - began < 5  # a writer would wait for 20 seconds


def test_the_probe_leaves_no_file(client: Client, settings: Settings) -> None:
    client.get("/health")
    assert [path for path in Path(settings.EVIDENCE_ROOT).rglob("*") if path.is_file()] == []


def test_the_storage_is_checked_once_in_thirty_seconds() -> None:
    checked: list[float] = []
    now = [100.0]

    def check() -> bool:
        checked.append(now[0])
        return True

    probe = health.Probe(check, seconds=30, clock=lambda: now[0])
    for second in (100.0, 110.0, 129.9, 130.0, 131.0):
        now[0] = second
        assert probe()
    assert checked == [100.0, 130.0]


def test_a_storage_that_hangs_delays_one_request_only() -> None:
    now = [0.0]
    entered, release = threading.Event(), threading.Event()
    results = [True, False]

    def check() -> bool:
        if now[0]:
            entered.set()
            release.wait(5)
        return results.pop(0)

    probe = health.Probe(check, seconds=30, clock=lambda: now[0])
    assert probe()
    now[0] = 60.0
    slow = threading.Thread(target=probe)
    slow.start()
    entered.wait(5)
    assert probe()  # the last result, at once
    release.set()
    slow.join()
    assert not probe()


def test_only_reading_is_allowed(client: Client) -> None:
    assert client.post("/health").status_code == 405
    assert client.head("/health").status_code == 200
