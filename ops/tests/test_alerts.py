"""Alerts reach Slack once, by its rules, and stay as rows that staff can read."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from kikaku.alerts import Alert as Mark
from kikaku.alerts import alert, alert_over
from kikaku.testing.database import database_environment
from ledger.models import Discrepancy
from ops.alerts import delivery, slack, store
from ops.alerts.courier import AlertHandler, Courier
from ops.alerts.kinds import KINDS
from ops.alerts.store import Occurrences
from ops.logs.redaction import redact
from ops.models import Alert
from ops.todos import upkeep

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROOT = Path(__file__).resolve().parents[2]


class Slack:
    """A server in Slack's place: it gives the next answer, 200 when there is none, and keeps messages."""

    def __init__(self, server: HTTPServer) -> None:
        self.texts: list[str] = []
        self.answers: list[Response] = []
        server.expect_request("/services/T/B/x", method="POST").respond_with_handler(self._answer)
        self.url = server.url_for("/services/T/B/x")

    def _answer(self, request: Request) -> Response:
        assert request.content_type.startswith("application/json")
        self.texts.append(json.loads(request.get_data())["text"])
        return self.answers.pop(0) if self.answers else Response("ok")


@pytest.fixture
def hook(httpserver: HTTPServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Slack:
    """Let alerts go to a server of the test, without a pause between messages."""
    hook = Slack(httpserver)
    settings.SLACK_WEBHOOK_URL = hook.url
    settings.ALERTS_IN_DEVELOPMENT = True
    monkeypatch.setattr(delivery, "MESSAGE_SECONDS", 0.0)
    return hook


def keep(*marks: dict[str, Mark], now: datetime = NOW, text: str = "what the log says") -> None:
    """Store log records that came together."""
    found = Occurrences()
    for mark in marks:
        found.add(mark["alert"], text, now=now)
    store.store(found.found.values(), now=now)


def test_the_command_sends_a_test_alert_and_says_what_slack_answered(
    hook: Slack, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("test_alert")
    assert "テスト" in hook.texts[0] and "Slack took" in capsys.readouterr().out
    hook.answers = [Response("no_service", status=404)]
    with pytest.raises(CommandError, match="404 no_service"):
        call_command("test_alert")


def test_the_command_sends_nothing_where_no_alert_would_be_sent(hook: Slack, settings: Settings) -> None:
    settings.ALERTS_IN_DEVELOPMENT = False
    with pytest.raises(CommandError, match="say --send"):
        call_command("test_alert")
    call_command("test_alert", "--send")
    assert len(hook.texts) == 1
    settings.SLACK_WEBHOOK_URL = ""
    with pytest.raises(CommandError, match="SLACK_WEBHOOK_URL is not set"):
        call_command("test_alert", "--send")


@pytest.mark.django_db
def test_an_alert_is_sent_once_with_level_title_fields_and_a_link(hook: Slack) -> None:
    keep(alert("close_failed", subject="2026-11-30", fields={"理由": "Stripe が応答しません"}))
    assert delivery.deliver_due(now=NOW) == 1
    keep(alert("close_failed", subject="2026-11-30"), now=NOW + MINUTE)
    assert delivery.deliver_due(now=NOW + MINUTE) == 0
    [text] = hook.texts
    for part in ("緊急", "日次締め", "2026-11-30", "理由: Stripe が応答しません", "/admin/ops/jobrun/"):
        assert part in text, text
    row = Alert.objects.get()
    assert (row.count, row.state, row.over_at) == (2, Alert.State.SENT, None)


@pytest.mark.django_db
def test_two_hundred_at_once_are_one_message_with_their_number(
    hook: Slack, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(60):  # far fewer than alerts; D1 takes 100 parameters a statement
        keep(*(alert("todo", subject=f"difference:{number}") for number in range(200)))
    assert delivery.deliver_due(now=NOW) == 200
    [text] = hook.texts
    assert "200" in text and len(text) < 3_000 and text.count("difference:") == slack.MAX_LISTED


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value", ["x" * 5_000, 'a "quoted"\nsecond line\\', "<!channel> & <https://evil.example|click>"]
)
def test_a_detail_of_any_text_is_cut_and_escaped(hook: Slack, value: str) -> None:
    keep(alert("test", fields={"詳細": value}), text=value)
    delivery.deliver_due(now=NOW)
    [text] = hook.texts
    assert len(text) < 3_000 and "<" not in text


@pytest.mark.django_db
def test_no_secret_and_no_personal_data_is_sent_or_kept(hook: Slack) -> None:
    secrets = "hanako@example.jp sk_live_51AbCdEf /orders/Zk3v9yQw7Lr2Xn8Bt5Hd1Jf6/"
    keep(alert("events_failing", subject=secrets, fields={"reason": secrets}), text=secrets)
    delivery.deliver_due(now=NOW)
    row = Alert.objects.get()
    for place in (*hook.texts, row.text, row.subject, json.dumps(row.fields)):
        assert not re.search("hanako|51AbCdEf|Zk3v9yQw7", place), place


@pytest.mark.django_db
def test_429_waits_as_long_as_slack_says_and_is_then_sent_once(hook: Slack) -> None:
    hook.answers = [Response("rate_limited", status=429, headers={"Retry-After": "90"})]
    keep(alert("test"))
    delivery.deliver_due(now=NOW)
    later = Alert.objects.get().next_try_at
    keep(alert("todo", subject="x"), now=NOW + MINUTE)
    assert delivery.deliver_due(now=later - MINUTE) == 0 or len(hook.texts) == 2
    assert delivery.deliver_due(now=later + MINUTE) >= 1
    assert sum("テスト" in text for text in hook.texts) == 2  # the refused one, and once more


@pytest.mark.django_db
@pytest.mark.parametrize("status", [500, 503])
def test_an_unclear_answer_is_sent_once_more_and_says_so(hook: Slack, status: int) -> None:
    hook.answers = [Response("oops", status=status) for _try in range(5)]
    keep(alert("test"))
    for minutes in range(0, 60, 5):
        delivery.deliver_due(now=datetime.now(UTC) + minutes * MINUTE)
    assert len(hook.texts) == 2
    assert "再送" in hook.texts[1] and "再送" not in hook.texts[0]
    row = Alert.objects.get()
    assert row.state == Alert.State.FAILED and str(status) in row.error


@pytest.mark.django_db
def test_a_refusal_is_final_and_its_reason_is_kept(hook: Slack) -> None:
    hook.answers = [Response("no_service", status=404)]
    keep(alert("test"))
    delivery.deliver_due(now=NOW)
    delivery.deliver_due(now=NOW + timedelta(days=1))
    row = Alert.objects.get()
    assert len(hook.texts) == 1 and (row.state, row.error) == (Alert.State.FAILED, "404 no_service")


@pytest.mark.django_db
def test_while_slack_is_away_alerts_wait_and_then_come_in_one_message(
    settings: Settings, hook: Slack, unused_port: int
) -> None:
    settings.SLACK_WEBHOOK_URL = f"http://127.0.0.1:{unused_port}/"
    keep(alert("worker_dead"))
    assert delivery.deliver_due(now=NOW) == 0
    keep(alert("test"), now=NOW + MINUTE)
    settings.SLACK_WEBHOOK_URL = hook.url
    assert delivery.deliver_due(now=datetime.now(UTC) + 3 * MINUTE) == 2
    assert len(hook.texts) == 1


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nothing listens."""
    from kikaku.testing.ports import find_free_ports

    return find_free_ports()


@pytest.mark.django_db
def test_a_process_that_died_while_sending_leaves_one_possible_repeat(hook: Slack) -> None:
    keep(alert("test"))
    delivery._claim(Alert.State.WAITING, now=NOW)
    assert delivery.deliver_due(now=NOW + MINUTE) == 0
    assert delivery.deliver_due(now=NOW + 3 * MINUTE) == 0
    assert delivery.deliver_due(now=NOW + 20 * MINUTE) == 1
    assert "再送" in hook.texts[0]


@pytest.mark.django_db
def test_beyond_the_hourly_limit_alerts_wait_for_one_message(settings: Settings, hook: Slack) -> None:
    settings.ALERTS_PER_HOUR = 3
    for number in range(10):
        keep(alert("todo", subject=str(number)), now=NOW)
        delivery.deliver_due(now=datetime.now(UTC))
    assert len(hook.texts) == 3
    assert delivery.deliver_due(now=datetime.now(UTC) + timedelta(hours=2)) == 7
    assert len(hook.texts) == 4


@pytest.mark.django_db
def test_the_end_of_a_critical_alert_is_told_and_a_new_one_begins_anew(hook: Slack) -> None:
    keep(alert("worker_dead"))
    delivery.deliver_due(now=NOW)
    keep(alert_over("worker_dead"), now=NOW + MINUTE)
    delivery.deliver_due(now=NOW + MINUTE)
    keep(alert_over("worker_dead"), now=NOW + 2 * MINUTE)
    delivery.deliver_due(now=NOW + 2 * MINUTE)
    assert len(hook.texts) == 2 and "解消" in hook.texts[1]
    keep(alert("worker_dead"), now=NOW + 3 * MINUTE)
    delivery.deliver_due(now=NOW + 3 * MINUTE)
    assert len(hook.texts) == 3 and Alert.objects.count() == 2


@pytest.mark.django_db
def test_an_alert_that_lasts_is_told_again_after_a_day(hook: Slack) -> None:
    for hours in range(0, 30, 2):
        keep(alert("worker_dead"), now=NOW + timedelta(hours=hours))
        delivery.deliver_due(now=NOW + timedelta(hours=hours))
    assert len(hook.texts) == 2 and Alert.objects.ongoing().count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("asked", "url"), [(False, "http://127.0.0.1:1/"), (True, "")])
def test_in_development_and_without_slack_alerts_are_rows_only(
    settings: Settings, hook: Slack, asked: bool, url: str
) -> None:
    settings.ALERTS_IN_DEVELOPMENT, settings.SLACK_WEBHOOK_URL = asked, url
    keep(alert("test"))
    assert delivery.deliver_due(now=NOW) == 0
    assert Alert.objects.get().state == Alert.State.OFF


class _Silent:
    """A socket that accepts and never answers."""

    def __init__(self) -> None:
        import socket

        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"


@pytest.mark.django_db(transaction=True)
def test_a_log_call_does_not_wait_for_slack_and_survives_a_rollback(
    settings: Settings, hook: Slack, courier: Courier
) -> None:
    silent = _Silent()
    settings.SLACK_WEBHOOK_URL = silent.url
    began = time.monotonic()
    with (
        delivered_by(courier, "ops.tests.alerts") as logger,
        pytest.raises(ZeroDivisionError),
        transaction.atomic(),
    ):
        logger.error("the close failed", extra=alert("close_failed"))
        logger.error("no alert")
        raise ZeroDivisionError
    assert time.monotonic() - began < 1
    assert _wait(lambda: Alert.objects.count() == 1)
    silent.socket.close()


@pytest.fixture
def courier(monkeypatch: pytest.MonkeyPatch) -> Iterator[Courier]:
    """Return a courier of the test; it ends with it."""
    from ops.alerts import courier as module

    monkeypatch.setattr(module, "GATHER_SECONDS", 0.1)
    monkeypatch.setattr(slack, "TIMEOUT", 1.0)
    own = Courier()
    yield own
    own.end()
    assert own._thread is None or not own._thread.is_alive()


@contextmanager
def delivered_by(courier: Courier, name: str) -> Iterator[logging.Logger]:
    """Give a logger's marked records to a courier of the test."""

    class Handler(AlertHandler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(mark := getattr(record, "alert", None), Mark):
                courier.put(mark, record.getMessage(), now=datetime.now(UTC))

    logger, handler = logging.getLogger(name), Handler()
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def _wait(condition: Any, *, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(condition())


@pytest.mark.django_db(transaction=True)
def test_several_threads_deliver_each_alert_once(hook: Slack) -> None:
    keep(*(alert("todo", subject=str(number)) for number in range(20)))
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        delivery.deliver_due(now=datetime.now(UTC))
        connection.close()

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hook.texts) == 1


DELIVERER = """
import sys, time, django
django.setup()
from django.utils import timezone
from ops.alerts import delivery
print("ready", flush=True)
sys.stdin.readline()
delivery.deliver_due(now=timezone.now())
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_deliver_each_alert_once(hook: Slack) -> None:
    keep(*(alert("todo", subject=str(number)) for number in range(20)))
    environment = {
        **os.environ,
        **database_environment(),
        "DJANGO_SETTINGS_MODULE": "kikaku.settings",
        "SLACK_WEBHOOK_URL": hook.url,
        "ALERTS_IN_DEVELOPMENT": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DELIVERER],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _number in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60) and process.returncode for process in processes] == [0, 0]
    assert len(hook.texts) == 1 and Alert.objects.filter(state=Alert.State.SENT).count() == 20


FORKING = """
import logging, multiprocessing, django
django.setup()
from kikaku.alerts import alert

def child():
    logging.getLogger("ops").error("failed", extra=alert("close_failed", subject="child"))

logging.getLogger("ops").error("failed", extra=alert("close_failed", subject="parent"))
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
"""


@pytest.mark.django_db(transaction=True)
def test_a_process_and_its_forked_child_store_what_they_logged_just_before_their_end() -> None:
    environment = {**os.environ, **database_environment(), "DJANGO_SETTINGS_MODULE": "kikaku.settings"}
    subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, env=environment, check=True, timeout=60)
    assert set(Alert.objects.values_list("subject", flat=True)) == {"parent", "child"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("hangs", [False, True])
def test_while_the_database_is_away_slack_is_told_once_and_the_row_comes_later(
    hook: Slack, courier: Courier, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    from ops.alerts import courier as module

    monkeypatch.setattr(module, "HANG_SECONDS", 0.2)
    is_back = threading.Event()
    attempts = []

    def away(*args: Any, **options: Any) -> None:
        attempts.append(threading.current_thread())
        if hangs:
            is_back.wait(20)
        if not is_back.is_set():
            raise OperationalError("the database is away")

    genuine = store.store

    def store_when_back(*args: Any, **options: Any) -> None:
        away()
        genuine(*args, **options)

    monkeypatch.setattr(store, "store", store_when_back)
    courier._held.add(alert("database_down")["alert"], "away", now=NOW)
    for _look in range(3):
        courier.work(now=datetime.now(UTC))
    assert len(hook.texts) == 1 and len(attempts) == (1 if hangs else 3)
    is_back.set()
    monkeypatch.setattr(module, "HANG_SECONDS", 20.0)
    courier._held.add(alert("todo", subject="x")["alert"], "later", now=NOW)
    for _look in range(2):
        courier.work(now=datetime.now(UTC))
    assert Alert.objects.count() == 2
    assert sum("データベース" in text for text in hook.texts) == 1


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_stored_or_is_of_no_known_kind_keeps_no_other_alert_back(
    hook: Slack, courier: Courier
) -> None:
    odd = alert("todo", subject="a\0b\udcff", fields={"name": "\0"})
    for mark in (alert("of_another_release"), odd, alert("test")):
        courier._held.add(mark["alert"], "x", now=NOW)
    courier.work(now=datetime.now(UTC))
    assert Alert.objects.filter(state=Alert.State.SENT).count() == 3 and len(hook.texts) == 1


@pytest.mark.django_db(transaction=True)
def test_two_hundred_discrepancies_of_a_close_are_one_message(
    hook: Slack, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.alerts.courier.GATHER_SECONDS", 1.0)  # as it is: the machine may be busy
    Discrepancy.objects.bulk_create(
        (
            Discrepancy(
                kind=Discrepancy.Kind.MISSING_IN_BOOKS,
                object_id=f"evt_{number}",
                day=NOW.date(),
                detail="x",
                created_at=NOW,
            )
            for number in range(200)
        ),
        batch_size=50,
    )
    with delivered_by(courier, "ops.todos.upkeep"):
        upkeep.refresh(now=NOW)
        assert _wait(lambda: hook.texts)
    assert Alert.objects.count() == 200
    [text] = hook.texts
    assert "200" in text


def test_the_address_of_the_webhook_reaches_no_log_line() -> None:
    address = "https://hooks.slack.com/services/T01ABCDEF/B02ABCDEF/aBcDeFgHiJkLmNoPqRsTuVwX"
    assert "aBcDeF" not in redact(f"POST {address} failed")


@pytest.mark.django_db
def test_staff_read_an_alert_in_japanese(admin_client: Client) -> None:
    keep(alert("worker_dead", fields={"最後の応答": "12月1日"}))
    page = admin_client.get("/admin/ops/alert/").content.decode()
    assert "ワーカーが止まっています" in page
    row = Alert.objects.get()
    page = admin_client.get(f"/admin/ops/alert/{row.pk}/change/").content.decode()
    for part in ("もう一度起動", "最後の応答", "緊急"):
        assert part in page
    assert "(2, " not in page  # the label's parts


@pytest.mark.django_db
def test_the_alert_of_a_to_do_is_called_by_its_sentence(hook: Slack, admin_client: Client) -> None:
    keep(alert("todo", subject="low_stock:A", fields={"内容": "A：在庫がありません"}))
    delivery.deliver_due(now=NOW)
    [text] = hook.texts
    for place in (text, admin_client.get("/admin/ops/alert/").content.decode()):
        assert "対応が必要なことがあります A：在庫がありません" in place and "low_stock" not in place


def test_each_kind_has_a_line_in_the_documents() -> None:
    lines = (ROOT / "docs" / "MONITORING.md").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"\| `(\w+)` \|", line))}
    assert set(KINDS) <= named


def test_each_mark_in_the_code_names_a_kind() -> None:
    marks = set()
    for path in ROOT.glob("*/**/*.py"):
        if path.parts[len(ROOT.parts)] in ("ops", "shop", "ledger", "kikaku") and "tests" not in path.parts:
            marks |= set(re.findall(r'\balert(?:_over)?\(\s*"(\w+)"', path.read_text()))
    assert marks and marks <= set(KINDS)
