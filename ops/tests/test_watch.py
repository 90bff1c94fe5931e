"""The web process tells of what can no longer speak for itself."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_httpserver import HTTPServer

from kikaku.alerts import Alert as Mark
from kikaku.sandbox import Sandbox
from kikaku.testing.database import database_environment, engine
from ledger.models import OutgoingMail
from ledger.testing import build as sale
from ops.alerts import store
from ops.alerts.store import Occurrences
from ops.health import watch
from ops.health.watch import Watch, record_start
from ops.jobs.schedule import JOBS, last_close_time
from ops.models import Alert, Heartbeat, JobRun
from ops.testing.disk import full_disk

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> "Said":
    """Return what the watch says."""
    caplog.set_level(logging.INFO, logger="ops.health.watch")
    return Said(caplog)


class Said:
    """The marks of log records since the last question."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def marks(self) -> list[tuple[str, bool]]:
        """Return kind and end of each mark, and store them as the courier does."""
        records = [record for record in self.caplog.records if hasattr(record, "alert")]
        self.caplog.clear()
        found, marks = Occurrences(), []
        for record in records:
            mark: Mark = record.alert
            marks.append((mark.kind, mark.over))
            found.add(mark, record.getMessage(), now=NOW)
        store.store(found.found.values(), now=NOW)
        return marks


def beat(at: datetime, *, started_at: datetime = NOW - HOUR) -> None:
    Heartbeat.objects.update_or_create(name="worker", defaults={"beat_at": at, "started_at": started_at})


def succeed(at: datetime, *, job: str, succeeded: bool = True) -> None:
    JobRun.objects.create(
        job=job,
        scheduled_for=at,
        claimed_until=at,
        started_at=at,
        finished_at=at,
        succeeded=succeeded,
    )


def new_watch() -> Watch:
    return Watch(started_at=NOW - HOUR)


def test_a_calm_shop_says_nothing(said: Said, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    beat(NOW)
    for name in JOBS:
        succeed(NOW, job=name)
    with django_assert_max_num_queries(20):
        assert new_watch().look(now=NOW) == []
    assert said.marks() == []


def test_a_dead_worker_is_told_once_and_its_return(said: Said) -> None:
    beat(NOW - timedelta(minutes=3))
    first, second = new_watch(), new_watch()
    for _look in range(3):
        first.look(now=NOW)
    assert said.marks() == [("worker_dead", False)]
    beat(NOW, started_at=NOW)
    second.look(now=NOW)  # another process tells the end
    assert said.marks() == [("worker_dead", True)]
    assert Alert.objects.get().over_at is not None


def test_a_worker_that_was_never_there_is_told_after_three_minutes(said: Said) -> None:
    young = Watch(started_at=NOW)
    young.look(now=NOW + timedelta(minutes=2))
    assert said.marks() == []
    young.look(now=NOW + timedelta(minutes=4))
    assert said.marks() == [("worker_dead", False)]


def test_a_job_without_success_for_three_periods_is_told_by_its_name(said: Said) -> None:
    beat(NOW)
    succeed(NOW - timedelta(minutes=16), job="balance")
    succeed(NOW, job="balance", succeeded=False)
    succeed(NOW - timedelta(minutes=2), job="mail")
    new_watch().look(now=NOW)
    assert said.marks() == [("job_overdue", False)]
    assert Alert.objects.get().subject == str(JobRun.Job.BALANCE.label)


def test_a_worker_that_has_just_come_back_is_given_time_for_its_jobs(said: Said) -> None:
    beat(NOW, started_at=NOW)
    succeed(NOW - timedelta(days=2), job="balance")
    new_watch().look(now=NOW)
    assert said.marks() == []


@pytest.mark.parametrize(("hour", "told"), [(18, False), (20, True)])
def test_a_day_that_is_not_closed_is_told_at_four(
    said: Said, sandbox: Sandbox, hour: int, told: bool
) -> None:
    sale.order(now=datetime(2026, 11, 29, 3, tzinfo=UTC))
    now = datetime(2026, 11, 29, hour, tzinfo=UTC)  # 03:00 and 05:00 of the 30th in Japan
    beat(now)
    new_watch().look(now=now)
    assert (("day_missing", False) in said.marks()) is told


def test_a_day_that_came_up_after_the_nights_close_waits_for_the_next(said: Said, sandbox: Sandbox) -> None:
    now = datetime(2026, 11, 29, 20, tzinfo=UTC)
    beat(now)
    succeed(last_close_time(now), job="daily_close")
    sale.order(now=datetime(2026, 11, 29, 3, tzinfo=UTC))
    new_watch().look(now=now)
    assert said.marks() == []


@pytest.mark.parametrize(("age", "told"), [(timedelta(days=7), False), (timedelta(days=8, hours=1), True)])
def test_a_backup_older_than_eight_days_is_told_and_a_fresh_one_is_not(
    said: Said, age: timedelta, told: bool
) -> None:
    beat(NOW)
    succeed(NOW - age, job="backup")
    new_watch().look(now=NOW)
    assert said.marks() == [("backup_overdue", False)] * told


def test_a_backup_that_never_succeeded_counts_from_its_first_try_and_a_new_one_ends_it(said: Said) -> None:
    beat(NOW)
    succeed(NOW - timedelta(days=9), job="backup", succeeded=False)
    new_watch().look(now=NOW)
    assert said.marks() == [("backup_overdue", False)]
    succeed(NOW, job="backup")
    new_watch().look(now=NOW)
    assert said.marks() == [("backup_overdue", True)]


def test_mails_that_wait_and_those_given_up_are_told(said: Said, sandbox: Sandbox) -> None:
    beat(NOW)
    order = sale.order(now=NOW - HOUR)
    mail = OutgoingMail.objects.create(
        order=order,
        kind=OutgoingMail.Kind.CANCELLED,
        source="order:0",
        to="hanako@example.jp",
        language="ja",
        subject="x",
        text="x",
        html="x",
        next_attempt_at=NOW,
        created_at=NOW - HOUR,
    )
    new_watch().look(now=NOW)
    assert ("mail_waiting", False) in said.marks()
    OutgoingMail.objects.filter(pk=mail.pk).update(status=OutgoingMail.Status.SENT)
    new_watch().look(now=NOW)
    assert ("mail_waiting", True) in said.marks()


def test_a_refund_from_the_limit_on_is_told_once_and_ends_after_an_hour(
    said: Said, sandbox: Sandbox, settings: Settings
) -> None:
    refund = sale.refund(sale.paid_order(sandbox))
    settings.ALERT_REFUND_FROM = refund.amount + 1
    now = refund.requested_at
    beat(now)
    new_watch().look(now=now)
    assert said.marks() == []
    settings.ALERT_REFUND_FROM = refund.amount
    watching = new_watch()
    for _look in range(2):
        watching.look(now=now)
    assert said.marks() == [("large_refund", False)]
    row = Alert.objects.get()
    assert refund.order.number in row.fields.values()
    new_watch().look(now=now + 2 * HOUR)
    assert ("large_refund", True) in said.marks()


PROCESS_AFTER_RESTART = """
import time, django
from django.conf import settings
settings.WATCH_SECONDS = 60
django.setup()
from ops.alerts import courier
from ops.health import watch
from ops.models import Alert
courier.IDLE_SECONDS = 0.2
watch.start()
until = time.monotonic() + 30
while Alert.objects.filter(subject="left", state="waiting").exists() and time.monotonic() < until:
    time.sleep(0.1)
"""


@pytest.mark.django_db(transaction=True)
def test_a_web_process_delivers_what_an_earlier_one_has_left(
    httpserver: HTTPServer, settings: Settings
) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    settings.SLACK_WEBHOOK_URL, settings.ALERTS_IN_DEVELOPMENT = httpserver.url_for("/hook"), True
    found = Occurrences()
    found.add(Mark("test", "left"), "x", now=timezone.now())
    store.store(found.found.values(), now=timezone.now())
    subprocess.run(
        [sys.executable, "-c", PROCESS_AFTER_RESTART],
        cwd=ROOT,
        env={
            **os.environ,
            **database_environment(),
            "DJANGO_SETTINGS_MODULE": "kikaku.settings",
            "SLACK_WEBHOOK_URL": settings.SLACK_WEBHOOK_URL,
            "ALERTS_IN_DEVELOPMENT": "1",
        },
        check=True,
        timeout=60,
    )
    assert Alert.objects.get(subject="left").state == Alert.State.SENT


def test_five_starts_within_ten_minutes_are_a_restart_loop(said: Said) -> None:
    beat(NOW)
    for minute in range(5):
        record_start("worker", now=NOW - timedelta(minutes=minute))
    new_watch().look(now=NOW)
    assert said.marks() == [("restart_loop", False)]
    new_watch().look(now=NOW + timedelta(minutes=11))
    assert ("restart_loop", True) in said.marks()


def test_a_web_server_of_five_processes_may_start_but_not_again_and_again(
    said: Said, settings: Settings
) -> None:
    beat(NOW)
    settings.WEB_WORKERS = 5
    for start in range(5):
        for _process in range(5):
            assert new_watch().look(now=NOW) == []
            record_start("web", now=NOW - timedelta(minutes=start))
    new_watch().look(now=NOW)
    assert said.marks() == [("restart_loop", False)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(engine() != "sqlite", reason="the database is a file of this process on SQLite alone")
def test_a_full_disk_is_told_although_it_cannot_be_stored(said: Said) -> None:
    beat(timezone.now())
    with full_disk():
        found = new_watch().look(now=timezone.now())
    assert [trouble.kind for trouble in found] == ["database_down"]


def test_every_kind_that_the_watch_says_can_end() -> None:
    source = Path(watch.__file__).read_text()
    assert set(re.findall(r'Trouble\(\s*"(\w+)"', source)) == set(watch.KINDS)


PROCESS = """
import threading, time, django
from django.conf import settings
settings.WATCH_SECONDS = 0.2
django.setup()
from ops.alerts import courier
from ops.health import watch
courier.HANG_SECONDS = watch.CHECK_SECONDS = 0.5
watch.start()
time.sleep(6)
print(max(
    sum(thread.name == name for thread in threading.enumerate())
    for name in ("watch", "alerts", "alerts-database", "health-watch", "health-watch-database")
))
"""


def test_a_database_that_hangs_is_told_once_and_piles_up_no_threads(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        finished = subprocess.run(
            [sys.executable, "-c", PROCESS],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "kikaku.settings",
                "DATABASE_URL": f"postgres://shop@127.0.0.1:{silent.getsockname()[1]}/shop",
                "SLACK_WEBHOOK_URL": httpserver.url_for("/hook"),
                "ALERTS_IN_DEVELOPMENT": "1",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "1"
    [(request, _response)] = httpserver.log
    assert "データベース" in json.loads(request.get_data())["text"]
