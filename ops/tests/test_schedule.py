"""Jobs: queued by the worker, claimed by a row, run once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings

from kikaku.sandbox import Sandbox
from ledger.models import DailyClose, Order, TaxStatus
from ledger.models.orders import OrderStatus
from ledger.testing import build
from ops.jobs import schedule
from ops.jobs.schedule import Job, claim, every, finish, last_close_time
from ops.models import JobRun

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)


def job(work: Any = lambda now: "", **options: Any) -> Job:
    return Job("test", work, every(5), minutes=5, **options)


def test_a_slot_is_the_start_of_its_period() -> None:
    assert every(1)(NOON) == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert every(5)(NOON + timedelta(minutes=4)) == datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    assert every(5)(NOON + timedelta(minutes=5)) == datetime(2026, 11, 22, 12, 5, tzinfo=UTC)


def test_the_close_belongs_to_the_last_16_00_utc() -> None:
    assert last_close_time(datetime(2026, 11, 22, 16, 0, tzinfo=UTC)) == datetime(
        2026, 11, 22, 16, 0, tzinfo=UTC
    )
    assert last_close_time(datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC)) == datetime(
        2026, 11, 21, 16, 0, tzinfo=UTC
    )


def test_a_run_is_claimed_by_one_worker() -> None:
    assert claim(job(), now=NOON) is not None
    assert claim(job(), now=NOON + timedelta(seconds=20)) is None
    assert JobRun.objects.count() == 1


def test_a_finished_run_is_not_run_again() -> None:
    first = claim(job(), now=NOON)
    assert first is not None and finish(first, succeeded=True, message="", now=NOON)
    assert claim(job(), now=NOON + timedelta(minutes=1)) is None
    assert claim(job(), now=NOON + timedelta(minutes=5)) is not None


def test_a_crashed_run_is_taken_over_after_its_lease_and_cannot_finish_any_more() -> None:
    crashed = claim(job(until_done=True), now=NOON)
    assert crashed is not None
    assert claim(job(until_done=True), now=NOON + timedelta(minutes=1)) is None
    JobRun.objects.update(scheduled_for=every(5)(NOON + schedule.RUN_LEASE + timedelta(seconds=1)))
    successor = claim(job(until_done=True), now=NOON + schedule.RUN_LEASE + timedelta(seconds=1))
    assert successor is not None and successor.token == crashed.token + 1
    assert not finish(crashed, succeeded=True, message="late", now=NOON)
    assert finish(successor, succeeded=True, message="done", now=NOON)
    assert JobRun.objects.get().message == "done"


def test_a_run_that_was_killed_makes_the_alert_of_a_failed_one(caplog: pytest.LogCaptureFixture) -> None:
    weekly = replace(schedule.JOBS["backup"], slot=lambda now: NOON)
    assert claim(weekly, now=NOON) is not None  # and its process is killed
    assert claim(weekly, now=NOON + timedelta(hours=1)) is None and not caplog.records
    assert claim(weekly, now=NOON + timedelta(hours=3)) is not None
    [record] = caplog.records
    mark = record.__dict__["alert"]
    assert mark.kind == "backup_failed" and "強制終了" in str(mark.fields)


def test_a_failed_close_is_tried_again_but_a_failed_job_of_a_minute_is_not() -> None:
    once, repeated = job(), Job("repeated", lambda now: "", last_close_time, minutes=10, until_done=True)
    for failed in (once, repeated):
        run = claim(failed, now=NOON)
        assert run is not None
        finish(run, succeeded=False, message="Stripe is down", now=NOON)
    assert claim(once, now=NOON + timedelta(minutes=1)) is None
    assert claim(repeated, now=NOON + timedelta(minutes=10)) is not None


def test_a_job_that_raises_is_recorded_and_does_not_stop_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(now: datetime) -> str:
        raise RuntimeError("out of paper")

    monkeypatch.setitem(schedule.JOBS, "test", job(fail))
    assert not schedule.run("test", now=NOON)
    run = JobRun.objects.get()
    assert run.succeeded is False and run.finished_at is not None and "out of paper" in run.message


def test_a_run_keeps_the_message_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schedule.JOBS, "test", job(lambda now: "3 mails sent"))
    assert schedule.run("test", now=NOON)
    assert not schedule.run("test", now=NOON)
    assert JobRun.objects.get().message == "3 mails sent"


def test_every_job_runs_on_an_empty_shop(sandbox: object) -> None:
    for name in schedule.JOBS:
        assert schedule.run(name, now=datetime.now(UTC)), JobRun.objects.get(job=name).message


def test_the_job_closes_no_day_of_an_empty_shop(sandbox: object) -> None:
    schedule.run("daily_close", now=datetime.now(UTC))
    assert not DailyClose.objects.exists()


def test_every_job_waits_while_a_demo_history_is_written(sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    build.order(now=last_close_time(now) - timedelta(days=2))
    with sandbox.exclusive_clock():
        for name in schedule.JOBS:
            assert not schedule.run(name, now=now)
    assert not DailyClose.objects.exists() and Order.objects.get().status == OrderStatus.PENDING
    assert schedule.run("daily_close", now=now), JobRun.objects.get(job="daily_close").message
    assert DailyClose.objects.count() == 2


def test_a_worker_queues_each_job_at_its_start_and_then_once_per_period() -> None:
    timetable = schedule.Timetable()
    assert timetable.due(NOON) == list(schedule.JOBS)
    for name in schedule.JOBS:
        timetable.mark_queued(name, now=NOON)
    assert timetable.due(NOON + timedelta(seconds=29)) == []
    minute = {"stripe_events", "checkout_expiry", "refunds", "mail", "alerts"}
    assert set(timetable.due(NOON + timedelta(seconds=30))) == minute
    assert set(timetable.due(NOON + timedelta(minutes=5))) == minute | {"balance", "todos"}
    assert timetable.due(NOON + timedelta(hours=1)) == list(schedule.JOBS)
    assert timetable.due(NOON - timedelta(hours=1)) == list(schedule.JOBS)  # the clock was set back


def test_the_close_is_queued_at_16_00_utc_whenever_the_worker_started() -> None:
    timetable = schedule.Timetable()
    timetable.mark_queued("daily_close", now=datetime(2026, 11, 22, 15, 53, 11, tzinfo=UTC))
    close = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    assert "daily_close" not in timetable.due(close - timedelta(seconds=1))
    assert "daily_close" in timetable.due(close)


def test_the_lease_is_longer_than_the_timeout_of_the_queue(settings: Settings) -> None:
    assert schedule.RUN_LEASE.total_seconds() > int(str(settings.Q_CLUSTER["timeout"]))
    assert int(str(settings.Q_CLUSTER["retry"])) > int(str(settings.Q_CLUSTER["timeout"]))


def test_old_runs_are_deleted_but_closes_are_kept_a_year() -> None:
    now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    for name, age in (("mail", 2), ("mail", 4), ("daily_close", 30), ("daily_close", 401)):
        at = now - timedelta(days=age)
        JobRun.objects.create(job=name, scheduled_for=at, claimed_until=at, started_at=at)
    assert schedule.prune(now) == "古いジョブの記録 2 件を削除"
    assert {(run.job, (now - run.scheduled_for).days) for run in JobRun.objects.all()} == {
        ("mail", 2),
        ("daily_close", 30),
    }


def test_every_job_has_a_name_for_staff() -> None:
    assert set(JobRun.Job.values) == set(schedule.JOBS)


def test_a_job_that_lacks_the_tax_status_says_what_to_do_without_a_traceback(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    build.paid_order(sandbox)
    TaxStatus.objects.all().delete()
    assert not schedule.run("balance")
    ended = JobRun.objects.get()
    assert ended.succeeded is False and ended.message.startswith("税務の設定がまだ入力されていません")
    assert not any(record.exc_info for record in caplog.records)
