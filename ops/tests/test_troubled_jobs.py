"""Jobs when the database cannot be written, or when the clock is wrong by an hour."""

from datetime import UTC, datetime, timedelta

import pytest

from kikaku.sandbox import Sandbox
from ledger.models import DailyClose, OutgoingMail
from ledger.testing import build
from ledger.testing.closing import MONDAY, TUESDAY, at, set_clock
from ledger.testing.crashes.lock import database_unwritable, not_on_postgresql
from ops.jobs import schedule
from ops.jobs.schedule import RUN_LEASE, claim
from ops.models import JobRun

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MAIL, CLOSE = schedule.JOBS["mail"], schedule.JOBS["daily_close"]


@not_on_postgresql
def test_jobs_skip_a_run_while_the_database_is_locked_and_do_the_work_in_the_next_one(
    sandbox: Sandbox,
) -> None:
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    with database_unwritable():
        for name in schedule.JOBS:
            assert not schedule.run(name, now=at(TUESDAY, 2))
    assert not JobRun.objects.exists()
    for name in schedule.JOBS:
        assert schedule.run(name, now=set_clock(sandbox, at(TUESDAY, 2))), name
    assert OutgoingMail.objects.get().status == "sent" and DailyClose.objects.get().day == MONDAY


def test_after_a_clock_that_was_ahead_jobs_run_at_once() -> None:
    ran = claim(MAIL, now=NOON + HOUR)
    assert ran is not None and schedule.finish(ran, succeeded=True, message="", now=NOON + HOUR)
    assert claim(MAIL, now=NOON + MINUTE) is not None
    assert claim(MAIL, now=NOON + HOUR) is None  # the run of this minute is already done


def test_a_crashed_close_of_a_clock_an_hour_ahead_is_taken_over_an_hour_late() -> None:
    assert claim(CLOSE, now=NOON + HOUR) is not None
    assert claim(CLOSE, now=NOON + RUN_LEASE + MINUTE) is None
    assert claim(CLOSE, now=NOON + HOUR + RUN_LEASE + MINUTE) is not None


def test_a_clock_ahead_closes_no_day_before_it_has_ended_in_japan(sandbox: Sandbox) -> None:
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    set_clock(sandbox, at(TUESDAY) - 12 * HOUR - 30 * MINUTE)  # 23:30 of Monday
    schedule.run("daily_close", now=at(TUESDAY, 0, 30))
    assert not DailyClose.objects.exists()
    set_clock(sandbox, at(TUESDAY, 0, 5))
    assert schedule.run("daily_close", now=at(TUESDAY, 1, 5))
    assert DailyClose.objects.get().day == MONDAY


def test_a_clock_behind_closes_an_hour_later(sandbox: Sandbox) -> None:
    build.paid_order(sandbox, now=set_clock(sandbox, at(MONDAY)))
    set_clock(sandbox, at(TUESDAY, 1, 5))
    schedule.run("daily_close", now=at(TUESDAY, 0, 5))
    assert not DailyClose.objects.exists()
    assert schedule.run("daily_close", now=set_clock(sandbox, at(TUESDAY, 1, 10)))
    assert DailyClose.objects.get().day == MONDAY
