"""The button that closes days: who may, what it queues, and what its page tells meanwhile and after."""

from datetime import datetime, timedelta

import pytest
from auditlog.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings
from redis import RedisError

from kikaku import days
from kikaku.sandbox import Sandbox
from ledger.closing.daily_close import close_day
from ledger.models import DailyClose
from ledger.testing import build
from ops.jobs import schedule
from ops.jobs.queue import DatabaseQueue
from ops.models import Heartbeat, JobRun
from ops.people import roles

pytestmark = pytest.mark.django_db

PAGE, LIST = "/admin/ledger/dailyclose/close/", "/admin/ledger/dailyclose/"


@pytest.fixture
def until(sandbox: Sandbox) -> str:
    """Return the last day that can be closed; it and the two days before it are open, the worker runs."""
    slot = schedule.last_close_time(timezone.now())
    build.order(now=slot - timedelta(days=3))
    Heartbeat.objects.create(name="worker", beat_at=timezone.now(), started_at=timezone.now())
    return str(days.yesterday(slot))


def work_the_queue() -> int:
    """Do what a worker does with the queue, and return how many runs succeeded."""
    entries = list(OrmQ.objects.all())
    for entry in entries:
        entry.delete()
    return [schedule.run(entry.payload) for entry in entries].count(True)


def shown(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return answer.content.decode()


def refreshes(client: Client) -> bool:
    return client.get(PAGE).has_header("Refresh")


def can_start(client: Client) -> bool:
    return bool(client.get(PAGE).context["can_start"])


def test_a_click_queues_the_job_and_the_page_tells_what_each_day_gave(
    admin_client: Client, until: str
) -> None:
    page = shown(admin_client)
    assert PAGE in admin_client.get(LIST).content.decode()
    assert f"{until}（3日間）" in page and can_start(admin_client) and not refreshes(admin_client)
    assert not OrmQ.objects.exists()  # looking begins nothing
    assert admin_client.post(PAGE).status_code == 302
    assert [entry.payload for entry in OrmQ.objects.all()] == ["daily_close"]
    assert "まもなく締めを始めます" in shown(admin_client) and refreshes(admin_client)
    assert work_the_queue() == 1
    page = shown(admin_client)
    assert "締めが終わりました" in page and not refreshes(admin_client)
    assert page.count("差異なし") == 3 == DailyClose.objects.count()
    assert f"{until} まで、すべて締め済みです" in page and not can_start(admin_client)


def test_the_audit_log_has_who_asked(admin_client: Client, admin_user: User, until: str) -> None:
    admin_client.post(PAGE)
    entry = LogEntry.objects.get(content_type__model="dailyclose")
    assert entry.actor == admin_user and until in entry.object_repr
    assert "手動で締めを開始" in admin_client.get("/admin/auditlog/logentry/").content.decode()


def test_while_a_worker_closes_nothing_is_queued(admin_client: Client, until: str) -> None:
    run = schedule.claim(schedule.JOBS["daily_close"], now=timezone.now())
    assert run is not None and "締めています" in shown(admin_client) and refreshes(admin_client)
    admin_client.post(PAGE)
    assert not OrmQ.objects.exists() and not LogEntry.objects.filter(content_type__model="dailyclose")
    assert not schedule.run("daily_close")  # what a click just before it would have queued


def test_a_close_that_fails_says_why_and_may_be_tried_again(
    admin_client: Client, until: str, settings: Settings
) -> None:
    base, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, "http://127.0.0.1:9"
    admin_client.post(PAGE)
    assert work_the_queue() == 0
    page = shown(admin_client)
    assert "Stripeから応答がないため" in page and "以降の日は、何も変わっていません" in page
    assert can_start(admin_client)
    assert not DailyClose.objects.exists() and not refreshes(admin_client)
    settings.STRIPE_API_BASE = base
    admin_client.post(PAGE)
    assert "まもなく締めを始めます" in shown(admin_client)
    assert work_the_queue() == 1 and DailyClose.objects.count() == 3


def test_a_worker_that_is_silent_is_named(admin_client: Client, until: str) -> None:
    assert "ワーカーが動いていません" not in shown(admin_client)
    Heartbeat.objects.update(beat_at=timezone.now() - timedelta(minutes=5))
    assert "ワーカーが動いていません" in shown(admin_client)


def test_a_queue_that_does_not_answer_begins_nothing(
    admin_client: Client, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, task: str) -> None:
        raise RedisError("Connection refused")

    monkeypatch.setattr(DatabaseQueue, "enqueue", fail)
    page = admin_client.post(PAGE, follow=True).content.decode()
    assert "ジョブのキューに接続できない" in page and "まもなく" not in page


def test_what_comes_up_after_the_close_of_tonight_is_closed_too(
    admin_client: Client, sandbox: Sandbox
) -> None:
    assert "まで、すべて締め済みです" in shown(admin_client)  # an empty shop
    assert schedule.run("daily_close")
    build.order(now=schedule.last_close_time(timezone.now()) - timedelta(days=3))
    assert not schedule.run("daily_close")  # by itself it waits for the next night
    assert can_start(admin_client)
    admin_client.post(PAGE)
    assert work_the_queue() == 1 and DailyClose.objects.count() == 3


def test_days_closed_by_the_command_meanwhile_are_no_failure(admin_client: Client, until: str) -> None:
    first = datetime.fromisoformat(until).date() - timedelta(days=2)
    run = schedule.claim(schedule.JOBS["daily_close"], now=timezone.now())
    assert run is not None
    schedule.finish(run, succeeded=False, message="Stripeから応答がない", now=timezone.now())
    for after in range(3):
        close_day(first + timedelta(days=after), now=timezone.now())
    page = shown(admin_client)
    assert "Stripeから応答がない" not in page and "すべて締め済みです" in page


@pytest.mark.parametrize("role", roles.ROLES)
def test_only_who_may_close_days_sees_the_button_and_its_page(client: Client, role: str, until: str) -> None:
    user = User.objects.create_user("member", password="x", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    may = role in (roles.OWNER, roles.ACCOUNTANT)
    answers = (client.get(PAGE).status_code, client.post(PAGE).status_code)
    assert answers == ((200, 302) if may else (403, 403))
    assert OrmQ.objects.exists() == may == bool(LogEntry.objects.filter(content_type__model="dailyclose"))
    assert (PAGE in client.get(LIST).content.decode()) == may
    assert not JobRun.objects.exists()
