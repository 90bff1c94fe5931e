"""The first page says what is wrong now, since when and what to do; then to-dos, sales and stock."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from kikaku import days
from ledger.models import DailyClose, Order, OutgoingMail, Refund, StripeEvent
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ops.admin import sales_chart, waiting
from ops.jobs import schedule
from ops.models import Alert, Heartbeat, JobRun, Todo
from ops.testing import todos
from ops.todos import upkeep
from shop.testing.build import product

pytestmark = pytest.mark.django_db

QUERIES = 23  # of the whole page, as docs/operations.md says
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def beat(at: datetime) -> None:
    Heartbeat.objects.update_or_create(name="worker", defaults={"beat_at": at, "started_at": at})


def succeed(at: datetime, *names: str) -> None:
    """Write a successful run of jobs, or of all, that ended at `at`."""
    for name in names or schedule.JOBS:
        JobRun.objects.create(
            job=name, scheduled_for=at, claimed_until=at, started_at=at, finished_at=at, succeeded=True
        )


def running(now: datetime) -> None:
    beat(now)
    succeed(now)


def mails(number: int, at: datetime, status: str = "queued") -> None:
    OutgoingMail.objects.bulk_create(
        OutgoingMail(
            kind="shipped", source=f"shipment:{next(todos.NUMBERS)}", to="a@example.jp", language="ja",
            subject="x", text="x", html="x", status=status, created_at=at, next_attempt_at=at,
        )
        for _ in range(number)
    )  # fmt: skip


def text_of(answer: Any) -> str:
    page = re.sub(r"<(script|style)\b.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def troubles(answer: Any) -> dict[str, Any]:
    return {matter.title: matter for matter in answer.context["troubles"]}


def test_a_shop_that_works_says_so(admin_client: Client) -> None:
    running(timezone.now())
    mails(3, timezone.now() - 10 * MINUTE)
    answer = admin_client.get("/admin/")
    assert answer.context["troubles"] == [] and "すべて正常に動いています" in text_of(answer)


def test_a_dead_worker_with_stripe_and_mail_down_for_three_hours_is_told(admin_client: Client) -> None:
    """K2: the worker is killed, 400 mails are queued, a refund and an event wait."""
    then = timezone.now() - 3 * HOUR - MINUTE
    running(then)
    mails(400, then)
    todos.refund(todos.paid(then).payments.get(), then, Refund.Status.REQUESTED)
    todos.event(then, status=StripeEvent.Status.PENDING, attempts=0)
    answer = admin_client.get("/admin/")
    found = troubles(answer)
    at = timezone.localtime(then).strftime("%-m/%-d %H:%M")
    overdue = sum(job.period <= HOUR for job in schedule.JOBS.values())
    figures = {"ワーカー": "応答なし", "送信待ちのメール": "400", "送信待ちの返金": "1"}
    figures |= {"処理待ちのStripeイベント": "1", "遅れているジョブ": str(overdue)}
    assert {title: matter.figure for title, matter in found.items()} == figures
    for title, matter in found.items():
        assert f"{at} から（3時間）" in matter.duration, title
        assert matter.advice in text_of(answer) and matter.duration.split("（")[0] in text_of(answer), title
    assert "ワーカーを再起動してください" in found["ワーカー"].advice
    assert "ワーカーが動けば自動で再開します" in found["送信待ちのメール"].advice


def test_with_a_worker_the_page_looks_for_the_cause_elsewhere(admin_client: Client) -> None:
    now = timezone.now()
    running(now)
    mails(1, now - HOUR)
    todos.refund(todos.paid(now).payments.get(), now - HOUR, Refund.Status.REQUESTED)
    found = troubles(admin_client.get("/admin/"))
    assert set(found) == {"送信待ちのメール", "送信待ちの返金"}
    assert "メールサーバー" in found["送信待ちのメール"].advice and "Stripe" in found["送信待ちの返金"].advice


def test_what_was_given_up_or_fails_is_wrong_at_once_and_leads_there(admin_client: Client) -> None:
    now = timezone.now()
    running(now)
    mails(2, now, "failed")
    event = todos.event(now)
    found = troubles(admin_client.get("/admin/"))
    assert found["送信を断念したメール"].figure == "2"
    assert found["処理待ちのStripeイベント"].figure == "1（うち失敗 1）"
    assert event.pk in admin_client.get(found["処理待ちのStripeイベント"].url).content.decode()
    assert "x" in admin_client.get(found["送信を断念したメール"].url).content.decode()


def test_a_job_is_overdue_after_three_periods_without_a_success(admin_client: Client) -> None:
    now = timezone.now()
    beat(now)
    succeed(now - 2 * MINUTE)
    assert troubles(admin_client.get("/admin/")) == {}
    JobRun.objects.filter(job="balance").update(finished_at=now - 16 * MINUTE)
    JobRun.objects.filter(job="mail").update(finished_at=now - 4 * MINUTE)
    JobRun.objects.filter(job="prune").update(finished_at=now - 2 * HOUR)
    (found,) = troubles(admin_client.get("/admin/")).values()
    assert (found.figure, found.since) == ("2", now - 16 * MINUTE)
    assert "残高取引" in found.advice and "メール" in found.advice
    JobRun.objects.filter(job="daily_close").update(finished_at=now - 4 * DAY)
    assert troubles(admin_client.get("/admin/"))["遅れているジョブ"].figure == "2"  # days tell of the close


def test_a_job_that_has_failed_for_longer_than_the_page_looks_back_says_since_when(
    admin_client: Client,
) -> None:
    now = timezone.now()
    running(now)
    JobRun.objects.filter(job="balance").update(scheduled_for=now - 9 * HOUR, finished_at=now - 9 * HOUR)
    (found,) = troubles(admin_client.get("/admin/")).values()
    assert found.since == now - 9 * HOUR


def alerted(now: datetime, state: str, **fields: Any) -> Alert:
    times = {"first_at": now, "last_at": now, "next_try_at": now}
    return Alert.objects.create(kind="todo", subject=state, level=1, title="x", state=state, **times | fields)


def test_alerts_that_slack_has_not_got_are_told_while_they_matter(admin_client: Client) -> None:
    now = timezone.now()
    running(now)
    for state in ("off", "sent", "waiting"):
        alerted(now, state)
    alerted(now, "failed", over_at=now)
    assert troubles(admin_client.get("/admin/")) == {}
    alerted(now - HOUR, "unknown")
    (found,) = troubles(admin_client.get("/admin/")).values()
    assert (found.title, found.figure, found.since) == ("Slackに届いていない通知", "2", now - HOUR)
    Alert.objects.filter(state="unknown").delete()
    Alert.objects.filter(state="waiting").update(first_at=now - HOUR)
    assert len(troubles(admin_client.get("/admin/"))) == 1


def close(day: Any) -> DailyClose:
    fields = {"stripe_balance": 0, "book_balance": 0, "differences": 0, "manifest_sha256": "0" * 64}
    return DailyClose.objects.create(day=day, run=1, closed_at=timezone.now(), **fields)


def missing_close(latest: DailyClose | None, *, now: datetime) -> waiting.Matter | None:
    return waiting.missing_close(latest, is_worker_silent=False, now=now)


def test_days_that_should_be_closed_are_counted_from_four_in_the_morning() -> None:
    today = days.business_day(timezone.now())
    midnight = days.day_bounds(today)[0]
    assert missing_close(None, now=midnight + 12 * HOUR) is None  # an empty shop
    build.order(now=midnight - 60 * HOUR)  # of three days ago: that day and the next ones are to be closed
    first = missing_close(None, now=midnight + 12 * HOUR)
    assert first is not None and first.figure == "3"
    latest = close(today - 2 * DAY)
    assert missing_close(latest, now=midnight + 3 * HOUR) is None
    missing = missing_close(latest, now=midnight + 4 * HOUR)
    assert missing is not None and (missing.figure, missing.since) == ("1", midnight)
    succeed(schedule.last_close_time(midnight + 4 * HOUR), "daily_close")
    assert missing_close(latest, now=midnight + 4 * HOUR) is None  # the next night closes it
    JobRun.objects.update(succeeded=False)
    assert missing_close(latest, now=midnight + 4 * HOUR) is not None
    assert missing_close(close(today - DAY), now=midnight + 12 * HOUR) is None


def test_who_may_not_see_the_machine_is_not_told_that_it_works_or_not(client: Client) -> None:
    mails(1, timezone.now() - HOUR)
    packer = User.objects.create_user("packer", is_staff=True)
    packer.user_permissions.set(Permission.objects.filter(codename__in=("view_order", "view_todo")))
    client.force_login(packer)
    answer = client.get("/admin/")
    assert answer.context["troubles"] is None and answer.context["waiting"] == []
    for text in ("異常", "正常", "ワーカー", "メール", "待ちの状況", "在庫わずか", "差異", "締め"):
        assert text not in text_of(answer).split("今日の")[-1], text


def lists_of(user: User) -> set[str]:
    """Return the names of the lists on the first page of an account."""
    client = Client()
    client.force_login(user)
    return {"low_stock", "to_ship", "todos"} & client.get("/admin/").context.keys()


def test_open_to_dos_are_counted_and_listed_until_they_are_done(admin_client: Client) -> None:
    running(timezone.now())
    product("lamp", sku="CL-1", on_hand=1)
    order = todos.paid(timezone.now(), total=150_000)
    upkeep.refresh(now=timezone.now())
    answer = admin_client.get("/admin/")
    assert ("要対応", "2") in {(tile.title, tile.value) for tile in answer.context["tiles"]}
    assert [row.text.split("（")[0] for row in answer.context["todos"]] == [order.number]
    assert [row.text.split("：")[0] for row in answer.context["low_stock"]] == ["CL-1"]
    assert lists_of(User.objects.create_user("visitor", is_staff=True)) == set()
    for right, shown in (("view_stockitem", "low_stock"), ("view_order", "to_ship"), ("view_todo", "todos")):
        user = User.objects.create_user(right, is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename=right))
        assert lists_of(user) == {shown}
    for row in Todo.objects.all():
        name = "approve" if row.kind == "high_value" else "finish"
        address = reverse(f"admin:ops_todo_{name}", args=[row.pk])
        assert admin_client.post(address, {"note": ""}).status_code == 302
    upkeep.refresh(now=timezone.now())
    answer = admin_client.get("/admin/")
    assert ("要対応", "0") in {(tile.title, tile.value) for tile in answer.context["tiles"]}
    assert not answer.context["todos"] and not answer.context["low_stock"]


def test_what_is_done_disappears_from_every_tile(admin_client: Client) -> None:
    """A discrepancy, a failing event and a dispute: their tiles count no to-dos, and go with them."""
    now = timezone.now()
    running(now)
    difference, event, dispute = todos.difference(now), todos.event(now), todos.dispute(now)
    upkeep.refresh(now=now)
    page = text_of(admin_client.get("/admin/"))
    assert all(text in page for text in (difference.object_id, event.pk, "dp_1"))
    assert Todo.objects.count() == 3 and dispute.pk
    for row in Todo.objects.all():
        admin_client.post(reverse("admin:ops_todo_finish", args=[row.pk]), {"note": "済み"})
    answer = admin_client.get("/admin/")
    assert answer.context["troubles"] == [] and not answer.context["todos"]
    assert {tile.state for tile in answer.context["tiles"] if "dailyclose" not in tile.url} == {"calm"}


def test_sales_are_of_paid_orders_by_the_day_of_payment_in_japan() -> None:
    now = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)  # noon in Japan
    midnight = days.day_bounds(days.business_day(now))[0]
    for moment in (midnight - timedelta(seconds=1), midnight, now, midnight - 29 * DAY, midnight - 30 * DAY):
        todos.paid(moment)
    cancelled = todos.paid(now)
    Order.objects.filter(pk=cancelled.pk).update(status=OrderStatus.CANCELLED)
    build.order(now=now)
    with CaptureQueriesContext(connection) as queries:
        found = sales_chart.sales(now=now)
    assert len(queries) == 1 and len(found.bars) == 30
    assert {str(bar.day): (bar.orders, bar.yen) for bar in found.bars if bar.orders} == {
        "2026-11-02": (1, 11_500),
        "2026-11-30": (1, 11_500),
        "2026-12-01": (2, 23_000),
    }
    assert (found.orders, found.yen, found.most_yen, found.today.yen_height) == (4, 46_000, 23_000, 100)


def test_a_shop_without_sales_shows_no_chart(admin_client: Client) -> None:
    page = text_of(admin_client.get("/admin/"))
    assert "30日間の売上" in page and "表で見る" not in page


def test_the_page_takes_the_same_few_queries_however_much_there_is(admin_client: Client) -> None:
    counts = []
    close(days.yesterday(timezone.now()))
    for _more in range(2):
        now = timezone.now()
        beat(now)
        succeed(now + timedelta(seconds=next(todos.NUMBERS)))
        for number in range(10):
            order = todos.paid(now - number * DAY, total=150_000)
            todos.refund(order.payments.get(), now, Refund.Status.REQUIRES_ACTION)
            product(f"lamp-{next(todos.NUMBERS)}", on_hand=1)
            todos.event(now)
            todos.difference(now)
            mails(1, now)
        upkeep.refresh(now=now)
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get("/admin/").status_code == 200
        counts.append(len(queries))
    assert counts == [QUERIES, QUERIES]
    assert f"in {QUERIES} queries" in (settings.BASE_DIR / "docs/operations.md").read_text()
